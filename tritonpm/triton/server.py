"""The server of a state folder: what is written down of it, and whether it runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tritonpm.core.files import read_state, storage_error, write_atomically
from tritonpm.triton import liveness

_STOPPING = "stopping"  # a file in the state folder
_SUPERVISOR = "supervisor.lock"  # who supervises its server holds it, and says in it who that is


@dataclass(frozen=True)
class Server:
    """A running server: addresses as host:port, the process, its log, and the prefix of its shared memory regions."""

    pid: int
    created: float  # the process's start, in seconds since 1970
    http: str
    grpc: str
    metrics: str
    log: str
    version: str
    source: str
    regions: str
    arguments: tuple[str, ...] = ()  # beside those that every server gets
    born: str = ""  # the process's birth, "" where an older version started it: a pid alone may be used again

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return liveness.lives(self.pid, self.born, self.created)


def running(state: Path) -> Server | None:
    """The server of this state folder, or None."""
    import msgspec

    try:
        server = msgspec.json.decode(read_state(state / "server.json"), type=Server)
    except (OSError, msgspec.DecodeError):
        return None
    return server if server.alive else None


def remember(state: Path, server: Server) -> None:
    """Write down that this is the state folder's server. Raises StorageError."""
    import msgspec

    write_atomically(state / "server.json", msgspec.json.format(msgspec.json.encode(asdict(server))))


def forget(state: Path) -> None:
    """The state folder's server has ended."""
    (state / "server.json").unlink(missing_ok=True)


def region_prefix(state: Path) -> str:
    """The prefix of this state folder's regions in /dev/shm, so that only our own leftovers are ever cleaned."""
    return "tritonpm_" + hashlib.sha256(os.path.realpath(state).encode()).hexdigest()[:12] + "_"


def tell_to_stop(state: Path) -> None:
    """Whoever supervises the server of this state folder shall not start it again. Raises StorageError."""
    try:
        if state.is_dir():
            (state / _STOPPING).touch()
    except OSError as error:
        raise storage_error(error, state) from None


def told_to_stop(state: Path) -> bool:
    """Whether the server of this state folder was told to stop since it was started."""
    return (state / _STOPPING).exists()


def may_run(state: Path) -> None:
    """Take back what `tell_to_stop` said: a server is about to start."""
    (state / _STOPPING).unlink(missing_ok=True)


@contextmanager
def supervising(state: Path) -> Iterator[None]:
    """Be the one who supervises the server of this state folder, once nobody else does.

    Two would start a server that has ended at the same time, and the one that comes second would call that a failure.
    """
    with (state / _SUPERVISOR).open("a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel frees it with the process
        try:
            lock.truncate(0)
            lock.write(json.dumps({"pid": os.getpid(), "born": liveness.birth(os.getpid())}).encode())
            lock.flush()
            yield
        finally:
            lock.truncate(0)


def supervised(state: Path) -> bool:
    """Whether somebody will start the server of this state folder again, should it end without being told to."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        supervisor = json.loads(read_state(state / _SUPERVISOR))
        return not told_to_stop(state) and liveness.lives(int(supervisor["pid"]), str(supervisor["born"]), 0.0)
    return False
