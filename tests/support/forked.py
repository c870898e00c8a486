"""Commands in a child of this process, which spares the imports: one that hangs is ended, and is told from one that ends."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tritonpm.cli.main import main

LONGEST = 60.0  # seconds
BUG = 99


def run_forked(commands: Sequence[Sequence[str]], folder: Path) -> list[tuple[int, str]]:
    """How each command ended that was run in `folder`, with all that it printed; a hanging one raises TimeoutError."""
    return [_forked(command, folder) for command in commands]


def _forked(command: Sequence[str], folder: Path) -> tuple[int, str]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os._exit(_run(command, folder))
    os.close(writing)
    try:
        printed = _until_closed(reading, time.monotonic() + LONGEST)
    except TimeoutError:
        os.killpg(child, signal.SIGKILL)
        raise TimeoutError(f"{' '.join(command)} hangs") from None
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), printed.decode(errors="replace")


def _until_closed(reading: int, end: float) -> bytes:
    printed = b""
    while (left := end - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            if not (more := os.read(reading, 1 << 16)):
                return printed
            printed += more
    raise TimeoutError


def _run(command: Sequence[str], folder: Path) -> int:
    code = BUG
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    try:
        os.chdir(folder)
        sys.argv = ["tritonpm", *command]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else BUG
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code
