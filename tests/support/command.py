"""The command line, in this process and in one of its own."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import click

from tests.support.waiting import PATIENCE
from tritonpm.cli.app import cli
from tritonpm.cli.main import main

TRITONPM = [sys.executable, "-m", "tritonpm.cli.main"]


def run(*arguments: object, workspace: Path | None = None, code: int = 0, **variables: str) -> str:
    """Standard output of a command that must end with `code`; with another code than 0 it is standard error.

    It runs in this process, which spares half a second of imports; `run_apart` is the real thing.
    """
    output, errors = streams(*arguments, workspace=workspace, code=code, **variables)
    return _one_sentence(errors) if code else output


def run_apart(*arguments: object, workspace: Path | None = None, code: int = 0, **variables: str) -> str:
    """The same in a process of its own."""
    ended = subprocess.run(
        [*TRITONPM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=PATIENCE,
        env=_environment(workspace, variables),
    )  # fmt: skip
    assert ended.returncode == code, ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
    return _one_sentence(ended.stderr) if code else ended.stdout


def streams(*arguments: object, workspace: Path | None = None, code: int = 0, **variables: str) -> tuple[str, str]:
    """Standard output and standard error of a command that runs in this process and must end with `code`."""
    output, errors, ended = io.StringIO(), io.StringIO(), None
    with (
        patch.dict(os.environ, _environment(workspace, variables), clear=True),
        patch.object(sys, "argv", ["tritonpm", *map(str, arguments)]),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as end:
            ended = end.code
    assert ended == code, errors.getvalue() + output.getvalue()
    assert "Traceback" not in errors.getvalue()
    return output.getvalue(), errors.getvalue()


def _environment(workspace: Path | None, variables: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRITON", "NO_COLOR"))}
    return {**kept, "TRITONPM_LANG": "en", **variables, **({"TRITONPM_WORKSPACE": str(workspace)} if workspace else {})}


def _one_sentence(errors: str) -> str:
    assert errors.count("\n") == 1, errors
    assert errors.startswith("Error: ")
    return errors


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


def every_command(group: click.Group = cli, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of each command, those of groups, too."""
    paths = []
    with click.Context(group) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            paths += [(*path, name), *(every_command(found, (*path, name)) if isinstance(found, click.Group) else ())]
    return paths
