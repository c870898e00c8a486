"""Ending a private server, and cleaning what one leaves that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tritonpm.core.errors import ServerError
from tritonpm.triton import liveness
from tritonpm.triton.leaving import Leaving
from tritonpm.triton.server import Server, forget, region_prefix, running, tell_to_stop

EXIT_TIMEOUT = 20  # seconds that tritonserver gives requests in flight at SIGTERM
KILLED = 60.0  # seconds that the kernel may take for a KILL: a loaded machine frees gigabytes slowly
_LOOK_EVERY, _WATCH_EVERY = 0.02, 0.3  # seconds
_MOMENT = 2.0  # seconds in which a server ends that has unloaded its last model
_STUB = "triton_python_backend_stub"


def stop(server: Server, state: Path, *, timeout: float = EXIT_TIMEOUT + 10.0) -> None:
    """End the server: TERM, wait for requests in flight, KILL at the deadline; its stubs and regions go with it.

    Raises ServerError where not even KILL ends it.
    """
    tell_to_stop(state)
    end(server, state, timeout=timeout, leaving=Leaving.of(server))
    forget(state)


def end(server: Server, state: Path, *, timeout: float, leaving: Leaving | None = None) -> None:
    """As `stop`, but whoever supervises the server may start it again."""
    # One that has ended has a number that may be another process's by now, even another server's.
    if _signal(server, signal.SIGTERM) and not _ended(server, timeout, leaving):
        _signal(server, signal.SIGKILL)
        if not _ended(server, KILLED):
            raise ServerError(
                f"tritonserver (pid {server.pid}) has not ended {KILLED:g} s after it was killed",
                where=server.log,
                do="it waits for the kernel (a disk or a driver that hangs): see `ps`, then `tritonpm stop` again",
            )
    sweep(state)


def end_child(process: subprocess.Popen[bytes], state: Path, *, timeout: float) -> None:
    """As `end`, of a server that did not come up; the sentence that says why goes before one about its end."""
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
            with suppress(subprocess.TimeoutExpired):
                process.wait(KILLED)
    sweep(state)


@contextmanager
def guarded(server: Server, state: Path) -> Iterator[None]:
    """While the block talks to the server: should it die, its orphaned stubs go at once.

    They inherited its connections, which would stay open: who waits for an answer would wait for its time limit. So it
    is with the one that comes after it at the same address.
    """
    done = threading.Event()

    def watch() -> None:
        watched: Server | None = server
        while not done.wait(_WATCH_EVERY):
            if watched is None:
                watched = running(state)
            elif not watched.alive:
                sweep(state)
                watched = None

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def sweep(state: Path) -> None:
    """Clean what a killed server of this state folder left: orphaned stubs, then their shared memory regions.

    A server may start meanwhile, and load: what it has is not touched. Its regions are not among those that were there
    before, and its stubs are in its process group, whose number is its own for as long as one of them lives.
    """
    prefix = region_prefix(state)
    regions = list(Path("/dev/shm").glob(f"{prefix}*"))  # noqa: S108
    if running(state):
        return
    orphans = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or ()
        if any(_STUB in part for part in command) and any(prefix in part for part in command):
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if not liveness.birth(os.getpgid(process.pid)):
                    process.kill()
                    orphans.append(process)
    psutil.wait_procs(orphans, timeout=KILLED)
    for region in regions:
        region.unlink(missing_ok=True)


def _signal(server: Server, number: int) -> bool:
    """Signal the server, with KILL its stubs too; whether it was there."""
    if not server.alive:
        return False
    try:
        if number == signal.SIGKILL:
            os.killpg(server.pid, number)
        else:
            os.kill(server.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise ServerError(
            f"tritonserver (pid {server.pid}) belongs to another user", where=server.log, do="stop it as that user"
        ) from None
    return True


def _ended(server: Server, timeout: float, leaving: Leaving | None = None) -> bool:
    """Whether it has ended within so many seconds, or a moment after there was nothing more to wait for.

    A zombie has ended: its parent may never look, as pid 1 of a container.
    """
    deadline = time.monotonic() + timeout
    looked = time.monotonic()
    while True:
        try:
            if os.waitpid(server.pid, os.WNOHANG)[0]:  # a child of ours is waited for to its very end
                return True
        except ChildProcessError:
            if not server.alive:
                return True
        now = time.monotonic()
        if now > deadline:
            return False
        if leaving and now > looked + _WATCH_EVERY:
            looked = now
            if leaving.done():
                leaving, deadline = None, min(deadline, now + _MOMENT)
        time.sleep(_LOOK_EVERY)
