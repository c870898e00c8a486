"""One change at a time in a workspace."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import BusyError, StorageError
from tritonpm.core.files import read_state

WAIT = 60.0  # seconds that a change waits for another


@contextmanager
def lock(
    workspace: Workspace, what: str, *, wait: float = WAIT, waiting: Callable[[str], None] = lambda sentence: None
) -> Iterator[None]:
    """Hold the workspace's lock; the kernel frees it with the process. Raises BusyError naming its owner."""
    from filelock import FileLock, Timeout

    held = FileLock(workspace.lock)
    owner = workspace.lock.with_name("lock.owner")
    try:
        try:
            held.acquire(timeout=0.2)
        except Timeout:
            waiting(f"Waiting for {_who(owner)} …")
            held.acquire(timeout=wait)
    except Timeout:
        raise BusyError(
            f"{_who(owner)} still holds the workspace after {wait:.0f} s of waiting",
            where=str(workspace.root),
            do="wait for it, or end it",
        ) from None
    except OSError as error:
        raise _unlockable(error, workspace) from None
    try:
        with suppress(OSError):  # a lock whose owner found no room for its name still is one: `remove` makes room
            owner.unlink(missing_ok=True)
            with owner.open("x") as stream:
                json.dump({"pid": os.getpid(), "what": what, "started": time.time()}, stream)
        yield
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        held.release()


def is_held(workspace: Workspace) -> bool:
    """Whether somebody holds the lock, told without waiting. Raises StorageError."""
    import fcntl

    try:
        descriptor = os.open(workspace.lock, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise _unlockable(error, workspace) from None
    return False


def _unlockable(error: OSError, workspace: Workspace) -> StorageError:
    return StorageError(f"cannot be locked ({error.strerror})", where=str(workspace.root), do="check the disk")


def _who(owner: Path) -> str:
    try:
        holder = json.loads(read_state(owner))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["started"]))
        return f"`tritonpm {holder['what']}` (pid {holder['pid']}, since {since})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "another tritonpm"
