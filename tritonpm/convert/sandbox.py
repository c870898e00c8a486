"""A process of its own for what may hang, crash or eat memory: a deadline, a memory limit, an answer as JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY = 12 << 30  # bytes of private memory, at most


def run(module: str, request: dict[str, Any], workdir: Path, *, deadline: float) -> dict[str, Any]:
    """Run `python -m module WORKDIR` and return the answer that it writes to WORKDIR/answer.json.

    The request lies in WORKDIR/request.json. A process that crashes or overruns `deadline` (seconds) gives
    {"verdict": "unrun", "reason": …}; its whole process group is ended.
    """
    (workdir / "request.json").write_text(json.dumps(request))
    answer = workdir / "answer.json"
    answer.unlink(missing_ok=True)
    with (workdir / "trial.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(workdir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(deadline)
        except subprocess.TimeoutExpired:
            return {"verdict": "unrun", "reason": f"running it took longer than {deadline:g} s"}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if answer.exists():
        return dict(json.loads(answer.read_text()))
    return {"verdict": "unrun", "reason": f"running it {_ending(code)}"}


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def limit_memory() -> None:
    """Called by the process itself: what it allocates beyond MEMORY fails."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
