"""The command line, run as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import PATIENCE

TRITONPM = [sys.executable, "-m", "tritonpm.cli.main"]


def run(*arguments: object, workspace: Path | None = None, code: int = 0, **variables: str) -> str:
    """Standard output of a command that must end with `code`; with another code it is standard error."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TRITON", "NO_COLOR"))} | variables
    if workspace:
        environment["TRITONPM_WORKSPACE"] = str(workspace)
    ended = subprocess.run(
        [*TRITONPM, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == code, ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
    if code:
        assert ended.stderr.count("\n") == 1, ended.stderr
        assert ended.stderr.startswith("Error: ")
    return ended.stderr if code else ended.stdout


@contextmanager
def started(
    *arguments: object, stream: str = "stdout", **variables: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A page and its address; it is ended by force where the test did not end it."""
    environment = {**os.environ, **variables}
    process = subprocess.Popen(
        [*TRITONPM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        lines = getattr(process, stream)
        url = next((found[0] for line in lines if (found := re.search(r"https?://\S+", line))), "")
        assert url, process.stderr.read() if process.stderr else ""
        yield process, url
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
