"""The server of a state folder: what is written down of it, and whether it runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from tritonpm.core.errors import BusyError, StorageError
from tritonpm.core.files import read_state, require_file, storage_error, write_atomically
from tritonpm.triton import liveness

LOCK = "server.lock"  # held by the server of a state folder, and by who starts it
_STOPPING, _RECORD, _PORTS = "stopping", "server.json", "ports.json"  # files in the state folder
_RESTARTS = "restarts.json"  # beside them
_LOOK_EVERY = 0.05  # seconds
_SUPERVISOR = "supervisor.lock"  # who supervises its server holds it, and says in it who that is
SUPERVISOR_LOG = "supervisor.log"  # what a supervisor says that has a process of its own


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


@dataclass(frozen=True)
class Restarts:
    """How often a server that had ended was started again since somebody started it, when last, and why."""

    count: int
    last: str  # ISO 8601
    reason: str

    @property
    def words(self) -> str:
        """For a person."""
        times = "once" if self.count == 1 else f"{self.count} times, last"
        return f"{times} at {self.last[:19].replace('T', ' ')}: {self.reason}"


def running(state: Path) -> Server | None:
    """The server of this state folder, or None. Where what was written down of it is lost, its process tells."""
    server = recorded(state)
    return server if server and server.alive else _unrecorded(state)


def recorded(state: Path) -> Server | None:
    """What was written down last of this state folder's server, whether it still runs or not; None after `forget`."""
    import msgspec

    try:
        return msgspec.json.decode(read_state(state / _RECORD), type=Server)
    except (OSError, msgspec.DecodeError):
        return None


def _unrecorded(state: Path) -> Server | None:
    """The server that holds this state folder's lock, by its command line; None while it does not listen yet."""
    if not _held(state / LOCK):
        return None
    from tritonpm.triton.process_table import listening, tritonservers

    for pid, command in tritonservers(state):
        options = dict(part.partition("=")[::2] for part in command)
        last = max((at for at, part in enumerate(command) if region_prefix(state) in part), default=len(command))
        ports = {name: options.get(f"--{name}-port", "") for name in ("http", "grpc", "metrics")}
        if not (born := liveness.birth(pid)) or not {int(p) for p in ports.values() if p} <= set(listening(pid)):
            continue
        addresses = {name: f"{options.get(f'--{name}-address', '')}:{port}" for name, port in ports.items()}
        log = str(Path(f"/proc/{pid}/fd/1").readlink())
        return Server(
            pid, liveness.time_of(born), **addresses, log=log, version="", source="", regions=region_prefix(state),
            arguments=tuple(command[last + 1 :]), born=born,
        )  # fmt: skip
    return None


def _held(lock: Path) -> bool:
    """Whether a server, its stubs, or who is starting one holds the state folder's lock."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe in its place is not waited for
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def remember(state: Path, server: Server) -> None:
    """Write down that this is the state folder's server. Raises StorageError."""
    import msgspec

    write_atomically(state / _RECORD, msgspec.json.format(msgspec.json.encode(asdict(server))))


def remember_again(state: Path, server: Server) -> None:
    """Write it down once more where that was lost; where it cannot be, its process still tells."""
    if recorded(state) is None and server.alive and not told_to_stop(state):
        with suppress(StorageError):
            remember(state, server)


def require_files(state: Path, log: Path) -> None:
    """Raise StorageError where what a server and who supervises it are to write cannot be written by them."""
    for place in (log, *(state / name for name in (LOCK, _SUPERVISOR, SUPERVISOR_LOG, _STOPPING, _RECORD))):
        require_file(place)


def forget(state: Path) -> None:
    """The state folder's server has ended. Its ports stay known, as far as they can be written."""
    if server := recorded(state):
        with suppress(StorageError, ValueError):
            write_atomically(state / _PORTS, json.dumps(ports_of(server)).encode())
    (state / _RECORD).unlink(missing_ok=True)


def note_restart(state: Path, reason: str) -> None:
    """Write down that the server has ended and is started again, as far as that can be written."""
    import msgspec

    before = restarts(state)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    with suppress(StorageError):
        noted = Restarts(before.count + 1 if before else 1, now, reason)
        write_atomically(state / _RESTARTS, msgspec.json.encode(noted))


def restarts(state: Path) -> Restarts | None:
    """What `note_restart` wrote down since `forget_restarts`; None for nothing."""
    import msgspec

    try:
        return msgspec.json.decode(read_state(state / _RESTARTS), type=Restarts)
    except (OSError, msgspec.DecodeError):
        return None


def forget_restarts(state: Path) -> None:
    """Somebody starts the server, so that none has ended yet."""
    with suppress(OSError):
        (state / _RESTARTS).unlink()


def ports_of(server: Server) -> dict[str, int]:
    """Its ports by name: http, grpc, metrics."""
    return {name: int(getattr(server, name).rpartition(":")[2]) for name in ("http", "grpc", "metrics")}


def last_ports(state: Path) -> dict[str, int]:
    """The ports that the last server had; none where nobody knows."""
    try:
        if server := recorded(state):
            return ports_of(server)
        known = json.loads(read_state(state / _PORTS))
        return {str(name): port for name, port in known.items() if isinstance(port, int) and 0 < port < 1 << 16}
    except (OSError, ValueError, AttributeError):
        return {}


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
def supervising(state: Path, *, detached: bool = False, within: float | None = None) -> Iterator[None]:
    """Be the one who supervises the server of this state folder, once nobody else does.

    Two would start a server that has ended at the same time, and the one that comes second would call that a failure.
    `detached`: from a process of its own, which is to be replaced where it is killed. Raises BusyError where somebody
    else still does after `within` seconds.
    """
    with supervisor_lock(state).open("a+b") as lock:
        _take(lock, within)
        try:
            lock.truncate(0)
            told = {"pid": os.getpid(), "born": liveness.birth(os.getpid()), "detached": detached}
            lock.write(json.dumps(told).encode())
            lock.flush()
            yield
        finally:
            lock.truncate(0)


def _take(lock: BinaryIO, within: float | None) -> None:
    """The kernel frees it with the process."""
    if within is None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return
    deadline = time.monotonic() + within
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > deadline:
            raise BusyError("somebody else supervises this server", do="leave it to them")
        time.sleep(_LOOK_EVERY)


def supervisor_lock(state: Path) -> Path:
    """The file that the supervisor of this state folder's server holds locked."""
    return state / _SUPERVISOR


def supervised(state: Path) -> bool:
    """Whether somebody will start the server of this state folder again, should it end without being told to."""
    return _supervisor_lives(state) is True


def supervision_lost(state: Path) -> bool:
    """Whether the process that was to keep this state folder's server alive has itself been killed."""
    return _supervisor_lives(state) is False


def supervisor(state: Path) -> tuple[int, str] | None:
    """The process that supervises the server of this state folder, or did last: its number and when it was born."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(read_state(supervisor_lock(state)))
        return int(told["pid"]), str(told["born"])
    return None


def await_end(process: tuple[int, str], within: float) -> bool:
    """Wait until a process has ended, for so many seconds; whether it has."""
    deadline = time.monotonic() + within
    while liveness.lives(*process, 0.0):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY)
    return True


def _supervisor_lives(state: Path) -> bool | None:
    """None where there is none that should: the server was told to stop, or ends with who started it."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        supervisor = json.loads(read_state(supervisor_lock(state)))
        if told_to_stop(state):
            return None
        lives = liveness.lives(int(supervisor["pid"]), str(supervisor["born"]), 0.0)
        return True if lives else False if supervisor.get("detached") else None
    return None
