"""A process of its own for what may hang, crash or eat memory: a deadline, a memory limit, an answer as JSON."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tritonpm.core import python
from tritonpm.core.units import GIB

MEMORY = 12 * GIB  # bytes of private memory, at most
GRACE = 5.0  # seconds that a cancelled process has to end by itself
_KILLED = 60.0  # seconds that the kernel may take for a KILL
_LOOK_EVERY = 0.2  # seconds
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_OUT_OF_MEMORY = (
    "out of memory",
    "bad_alloc",
    "bad allocation",
    "memoryerror",
    "cannot allocate memory",
    "failed to map segment",
    "error return without exception set",  # Python has these two where it lacks the memory to say MemoryError
    "returned null without setting an exception",
)


class EndedError(Exception):
    """A process ended without an answer; the text says how, without a subject. `limit`: it was at one of its limits."""

    def __init__(self, how: str, *, limit: bool = False) -> None:
        super().__init__(how)
        self.limit = limit


def answered(module: str, workdir: Path, *, deadline: float, cancelled: Callable[[], bool] = lambda: False) -> bytes:
    """Run a module that answers WORKDIR/request.json by WORKDIR/answer.json; its whole process group is ended.

    Raises EndedError, whose text goes on a sentence's subject: no answer, `deadline` seconds over, or `cancelled`.
    """
    answer = workdir / "answer.json"
    answer.unlink(missing_ok=True)
    with (workdir / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            python.module(module, str(workdir)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = _waited(process, deadline, cancelled)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # the kernel still waits for a disk or driver: it answers nothing
                process.wait(_KILLED)
    if answer.exists():
        return answer.read_bytes()
    raise ended(code, (workdir / "worker.log").read_text(errors="replace"))


def _waited(process: subprocess.Popen[bytes], deadline: float, cancelled: Callable[[], bool]) -> int:
    """The exit code. Raises EndedError; what was cancelled has `GRACE` seconds to end by itself."""
    end = time.monotonic() + deadline
    while True:
        try:
            return process.wait(_LOOK_EVERY)
        except subprocess.TimeoutExpired:
            pass
        if cancelled():
            end = min(end, time.monotonic() + GRACE)
            cancelled = bool  # False from now on
            deadline = 0.0
        if time.monotonic() > end:
            raise EndedError(f"took longer than {deadline:g} s" if deadline else "was cancelled", limit=bool(deadline))


def ended(code: int, log: str) -> EndedError:
    """How a process ended that wrote `log`, for who waited for its answer."""
    text = log[-4000:]
    if says_out_of_memory(text):
        return EndedError("ran out of memory", limit=True)
    if code == -signal.SIGKILL:
        return EndedError("was killed by SIGKILL, as the kernel does where memory runs out", limit=True)
    if code < 0:
        return EndedError(f"was killed by {signal.Signals(-code).name}")
    last = next((line.strip()[:200] for line in reversed(text.splitlines()) if line.strip()), "")
    return EndedError(f"ended with exit code {code} ({last})" if last else f"ended with exit code {code}")


def says_out_of_memory(text: str) -> bool:
    """Whether a runtime's message, or what it wrote last, is that there is no memory left."""
    return any(word in text.lower() for word in _OUT_OF_MEMORY)


def enter(limit: int = MEMORY) -> None:
    """Called by the process itself: what it allocates beyond `limit` bytes fails, and it dies with who started it."""
    import resource

    die_with_parent()
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent() -> None:
    """Called by the process itself: it ends when the thread ends that started it."""
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
