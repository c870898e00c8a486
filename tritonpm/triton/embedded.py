"""Running a tritonserver of our own: one for each state folder, explicit model control, loopback by default."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonpm.core.errors import BusyError, ServerError
from tritonpm.core.releases import of_server, release
from tritonpm.core.units import MIB
from tritonpm.triton import compiled, launch, liveness
from tritonpm.triton.ending import EXIT_TIMEOUT, end, end_child, guarded, stop, sweep
from tritonpm.triton.installation import Installation, environment, find, prepare_backends
from tritonpm.triton.log import last_words, reasons, rotate, size, why_ended
from tritonpm.triton.plain_http import ask
from tritonpm.triton.process_table import listening
from tritonpm.triton.server import (
    LOCK,
    SUPERVISOR_LOG,
    Restarts,
    Server,
    await_end,
    forget_restarts,
    last_ports,
    may_run,
    note_restart,
    ports_of,
    recorded,
    region_prefix,
    remember,
    remember_again,
    require_files,
    restarts,
    running,
    supervised,
    supervising,
    supervision_lost,
    supervisor,
    supervisor_lock,
    tell_to_stop,
    told_to_stop,
)

__all__ = [
    "CACHE_BYTES",
    "CLIENT_SHARED_MEMORY",
    "EXIT_TIMEOUT",
    "PORTS",
    "SUPERVISOR_LOG",
    "AddressTakenError",
    "Installation",
    "Restarts",
    "Server",
    "answers",
    "await_end",
    "backends_in",
    "end",
    "find",
    "forget_restarts",
    "guarded",
    "last_ports",
    "last_words",
    "note_restart",
    "ports_of",
    "reasons",
    "recorded",
    "region_prefix",
    "remember_again",
    "restarts",
    "running",
    "start",
    "stop",
    "supervised",
    "supervising",
    "supervision_lost",
    "supervisor",
    "supervisor_lock",
    "sweep",
    "tell_to_stop",
    "told_to_stop",
]  # fmt: skip

CLIENT_SHARED_MEMORY = "--allow-client-shm=true"  # else a release that has it lets no client register regions
CACHE_BYTES = 64 * MIB  # of the local response cache, which packages may use
_ATTEMPTS = 5  # how often free ports are chosen again when somebody takes one in between
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")  # of a path that a shell leaves as it is
_LINK, _TRACE, _BACKENDS = "repository", "trace.json", "backends"  # in the state folder
PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}  # Triton's own
# Most of a load is waiting for the stub; it holds the thread of its connection, and who shares that waits for it.
_LOADS, _HTTP_THREADS = 8, 32
_FAILED = 1.0  # seconds that a server which did not come up has to end, before KILL
_LOCKED = 20.0  # seconds that orphaned stubs may hold the state folder's lock, or another start may take
_ANSWER = 10.0  # seconds for one answer while a server starts


def start(
    installation: Installation,
    repository: Path,
    state: Path,
    *,
    host: str = "127.0.0.1",
    http_port: int | None = None,
    grpc_port: int | None = None,
    metrics_port: int | None = None,
    standard_ports: bool = False,
    log: Path | None = None,
    detach: bool = False,
    gpu: bool = False,
    arguments: Sequence[str] = (),
    timeout: float = 60.0,
) -> Server:
    """Start a server on `repository` and wait until it is live; a port that is None becomes a free one.

    With `standard_ports` those that the last server here had, else Triton's usual ones, are taken where they are free.
    In the foreground the server ends with the thread that started it; detached it stays. Raises BusyError where one
    runs on this state folder already, ServerError where a port is taken, or the server ends or is not live in `timeout`
    seconds.
    """
    state.mkdir(parents=True, exist_ok=True)
    log = log or state / "triton.log"
    require_files(state, log)
    with _only_one(state) as held:
        sweep(state)
        backends = prepare_backends(installation, state / _BACKENDS)
        may_run(state)
        _link_repository(state, repository)
        rotate(log)
        wanted = {"http": http_port, "grpc": grpc_port, "metrics": metrics_port}
        for _ in range(_ATTEMPTS):
            ports = _choose(host, _usual(host, wanted, state) if standard_ports else wanted)
            command = _command(installation, backends, host, ports, state, gpu, arguments)
            with suppress(_PortTaken):
                pid = _started(command, installation, state, log, held, detach, ports, timeout)
                server = _server(pid, host, ports, log, installation, state, tuple(arguments))
                remember(state, server)
                return server
    raise ServerError("each free port that was chosen was taken before it could be used", do="name the ports")


def _server(
    pid: int,
    host: str,
    ports: dict[str, int],
    log: Path,
    installation: Installation,
    state: Path,
    arguments: tuple[str, ...],
) -> Server:
    born = liveness.birth(pid)
    if not born:
        raise ServerError(f"tritonserver ended right after its start: {last_words(log)}", where=str(log))
    return Server(
        pid, liveness.time_of(born), f"{host}:{ports['http']}", f"{host}:{ports['grpc']}", f"{host}:{ports['metrics']}",
        str(log), installation.version, installation.source, region_prefix(state), arguments, born,
    )  # fmt: skip


def _started(
    command: list[str],
    installation: Installation,
    state: Path,
    log: Path,
    held: int,
    detach: bool,
    ports: dict[str, int],
    timeout: float,
) -> int:
    """The pid of a server that is live; whatever goes wrong, no process is left. Raises _PortTaken, ServerError."""
    offset = size(log)
    process = _spawn(command, installation, state, log, held, detach)
    try:
        _wait_live(process, ports, timeout, log, offset)
    except BaseException:
        end_child(process, state, timeout=_FAILED)
        raise
    return process.pid


def backends_in(state: Path) -> dict[str, str]:
    """What the server of a state folder runs as each backend: native, compiled or python."""
    with suppress(OSError):
        return {path.name: compiled.kind(path) for path in sorted((state / _BACKENDS).iterdir())}
    return {}


def answers(server: Server, *, within: float) -> bool:
    """Whether the server answers a new connection within so many seconds."""
    host, _, port = server.http.rpartition(":")
    return _live(host, int(port), within)


@contextmanager
def _only_one(state: Path) -> Iterator[int]:
    """Hold the state folder's lock; the server inherits the descriptor, so the lock lasts as long as it does."""
    descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _LOCKED
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                server = running(state)
                if server is None and time.monotonic() < deadline:
                    sweep(state)  # stubs of a killed server hold the lock until they are gone
                    time.sleep(0.1)
                    continue
                who = f" (pid {server.pid}, {server.http})" if server else ""
                raise BusyError(
                    f"a server is already running for this workspace{who}", do="use it, or end it with `tritonpm stop`"
                ) from None
        yield descriptor
    finally:
        os.close(descriptor)


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _usual(host: str, wanted: dict[str, int | None], state: Path) -> dict[str, int | None]:
    """Ports by name: the wanted ones, else that of the last server, else Triton's own, as far as they are free."""
    last = last_ports(state)
    usual = {name: [port for port in (last.get(name), PORTS[name]) if port and _free(host, port)] for name in PORTS}
    return {name: port if port is not None else next(iter(usual[name]), None) for name, port in wanted.items()}


def _choose(host: str, wanted: dict[str, int | None]) -> dict[str, int]:
    """Ports by name: the wanted ones, which must be free, and free ones for the rest."""
    open_sockets, ports = [], {}
    try:
        for name, port in wanted.items():
            listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            open_sockets.append(listener)
            try:
                listener.bind((host, port or 0))
            except OSError as error:
                raise AddressTakenError(
                    f"cannot bind to {host}:{port} ({error.strerror})",
                    where=f"--{name}-port",
                    do="choose another port or address, or leave the option out",
                ) from None
            ports[name] = listener.getsockname()[1]
    finally:
        for listener in open_sockets:
            listener.close()
    return ports


def _command(
    installation: Installation,
    backends: Path,
    host: str,
    ports: dict[str, int],
    state: Path,
    gpu: bool,
    arguments: Sequence[str],
) -> list[str]:
    command = [
        str(installation.binary),
        f"--model-repository={_said(state / _LINK)}",
        "--model-control-mode=explicit",
        f"--backend-directory={_said(backends)}",
        f"--exit-timeout-secs={EXIT_TIMEOUT}",
        f"--http-address={host}",
        f"--http-port={ports['http']}",
        f"--grpc-address={host}",
        f"--grpc-port={ports['grpc']}",
        f"--metrics-address={host}",
        f"--metrics-port={ports['metrics']}",
        f"--http-thread-count={_HTTP_THREADS}",
        f"--model-load-thread-count={_LOADS}",
        "--rate-limit=execution_count",
        f"--trace-config=triton,file={_TRACE}",  # without a file tracing cannot be switched on later
        "--trace-config=level=OFF",
        "--metrics-config=summary_latencies=true",  # p50 and p99 of every model
    ]
    if installation.caches:
        command += [f"--cache-directory={installation.caches}", f"--cache-config=local,size={CACHE_BYTES}"]
    if not gpu:
        command.append("--allow-gpu-metrics=false")
    if (name := of_server(installation.version)) and release(name).takes(CLIENT_SHARED_MEMORY):
        command.append(CLIENT_SHARED_MEMORY)
    ours = ("python", *(path.name for path in backends.iterdir() if (path / "model.py").is_file()))
    command += [f"--backend-config={name},shm-region-prefix-name={region_prefix(state)}" for name in ours]
    return [*command, *arguments]


def _said(place: Path) -> str:
    """A place in the state folder, where the server runs, as it is told.

    The Python backend starts its stubs through a shell without quoting: a blank in a path would hang every load, so
    such a path is told relatively. Others are not: while it unpacks an environment the backend changes the whole
    server's folder, and what loads meanwhile would not be found.
    """
    whole = str(place.absolute())
    return whole if _PLAIN.fullmatch(whole) else place.name


def _link_repository(state: Path, repository: Path) -> None:
    """Make the repository reachable from the state folder."""
    link = state / _LINK
    link.unlink(missing_ok=True)
    link.symlink_to(repository.resolve(), target_is_directory=True)


def _spawn(
    command: list[str], installation: Installation, state: Path, log: Path, held: int, detach: bool
) -> subprocess.Popen[bytes]:
    if not detach:
        command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *command]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(installation, command),
            cwd=state,
            start_new_session=True,  # a group of its own: Ctrl-C reaches us first, and a KILL reaches the stubs too
            pass_fds=(held,),
        )


class AddressTakenError(ServerError):
    """A port that was named is somebody else's now."""


class _PortTaken(Exception):  # noqa: N818
    """Somebody took a chosen port between our look and the server's."""


def _wait_live(process: subprocess.Popen[bytes], ports: dict[str, int], timeout: float, log: Path, offset: int) -> None:
    """Until this very process listens on all its ports and says that it is live."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            reason = why_ended(log, offset)
            if "already in use" in reason.lower():
                raise _PortTaken
            raise ServerError(
                f"tritonserver ended at its start with code {process.returncode}: {reason}",
                where=str(log),
                do="look into that log",
            )
        addresses = listening(process.pid)
        if set(ports.values()) <= set(addresses) and _live(addresses[ports["http"]], ports["http"], _ANSWER):
            return
        time.sleep(0.02)
    raise ServerError(
        f"tritonserver was not live after {timeout:g} s", where=str(log), do="look into that log, or give --timeout"
    )


def _live(host: str, port: int, timeout: float) -> bool:
    with suppress(OSError):
        return ask("GET", host, port, "/v2/health/live", timeout=timeout)[0] == 200
    return False
