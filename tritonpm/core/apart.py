"""A process of its own that answers several questions about what was handed in, each within limits of time and memory.

What comes in is read and tried there: whatever it does to that process, who asked gets a sentence. It is started at the
first question, shared by all that one import asks, and started again where a question ended it.
The process is this module run: a line of JSON on its standard input is a question, lines on its
standard output are progress, and then how the answer went, which lies in the question's folder.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from tritonpm.core import python
from tritonpm.core.files import is_full, storage_error
from tritonpm.core.sandbox import EndedError, die_with_parent, ended, says_out_of_memory
from tritonpm.core.units import human

Report = Callable[..., None]  # takes what the answering function reports, as JSON can carry it
_REQUEST, _ANSWER = "request.json", "answer.json"
_KILLED = 60.0  # seconds that the kernel may take for a KILL
_BLOCK = 1 << 16


def _unwatched(*_: object) -> None:
    """Progress that nobody watches."""


class Apart:
    """The process; leaving the block ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self, function: str, request: bytes, folder: Path, *, seconds: float, memory: int, report: Report = _unwatched
    ) -> bytes:
        """What `function` ("module:name"), given the request, the folder and a way to report, returns.

        `folder` is the caller's. Raises EndedError, whose text goes on a sentence's subject, where there is no answer
        within these seconds and bytes, StorageError where the disk has no room for it.
        """
        (folder / _REQUEST).write_bytes(request)
        question = {"function": function, "folder": str(folder), "memory": memory, "from": _working_folder()}
        try:
            process = self._started()
            assert process.stdin  # noqa: S101 (a pipe, by how it is started)
            with suppress(BrokenPipeError):  # it is read below why it has ended
                process.stdin.write(json.dumps(question).encode() + b"\n")
                process.stdin.flush()
            ending = self._watched(process, seconds, report)
        except BaseException:
            self.close()
            raise
        if ending and (number := ending.get("full")):  # nothing that the model could help
            raise storage_error(OSError(number, os.strerror(number)), folder)
        if ending:
            raise EndedError(ending["how"], limit=ending["limit"])
        return (folder / _ANSWER).read_bytes()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
            self._process = subprocess.Popen(
                python.module("tritonpm.core.apart"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
            )
        return self._process

    def _watched(self, process: subprocess.Popen[bytes], seconds: float, report: Report) -> dict[str, Any] | None:
        """How the answer failed to come; None where it is there. Raises EndedError where the process has ended."""
        assert process.stdout and self._log  # noqa: S101 (as above)
        end, lines = time.monotonic() + seconds, b""
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise EndedError(f"took longer than {seconds:.0f} s", limit=True)
            block = os.read(process.stdout.fileno(), _BLOCK)
            if not block:
                self._log.seek(0)
                raise ended(process.wait(_KILLED), self._log.read().decode(errors="replace"))
            *whole, lines = (lines + block).split(b"\n")
            for line in whole:
                told = json.loads(line)
                if "report" not in told:
                    return dict(told["ended"]) if told["ended"] else None
                report(*told["report"])

    def close(self) -> None:
        """End the process, and all that it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # the kernel still waits for a disk: it answers nothing
            process.wait(_KILLED)
        for stream in (process.stdin, process.stdout, self._log):
            if stream:
                with suppress(OSError):
                    stream.close()


def _working_folder() -> str:
    """Where relative paths of a question start ("": it was deleted, and only absolute ones can be meant)."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""


def _answer(question: dict[str, Any], report: Report) -> dict[str, Any] | None:
    """Answer one question; how that failed, None where the answer is there."""
    module, _, name = question["function"].partition(":")
    folder, memory = Path(question["folder"]), question["memory"]
    beyond = {"how": f"needs more than {human(memory)} of memory", "limit": True}
    try:
        function = getattr(import_module(module), name)
        if question["from"]:
            os.chdir(question["from"])
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (memory, most))
        answer = function((folder / _REQUEST).read_bytes(), folder, report)
        (folder / _ANSWER).write_bytes(answer)
    except MemoryError:
        return beyond
    except Exception as error:  # of a runtime that gave up: who asks tells it
        if isinstance(error, OSError) and is_full(error):
            return {"full": error.errno}
        last = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return beyond if says_out_of_memory(last) else {"how": f"ended with {last}", "limit": False}
    return None


def main() -> None:
    """Answer what comes on standard input until nobody asks any more."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no reply

    def tell(told: dict[str, Any]) -> None:
        replies.write(json.dumps(told).encode() + b"\n")

    for line in sys.stdin.buffer:
        tell({"ended": _answer(json.loads(line), lambda *what: tell({"report": what}))})


if __name__ == "__main__":
    main()
