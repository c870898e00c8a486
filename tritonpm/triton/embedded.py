"""Running a tritonserver of our own: one for each state folder, explicit model control, loopback by default."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from tritonpm.core.errors import BusyError, ServerError
from tritonpm.core.files import storage_error
from tritonpm.triton import launch
from tritonpm.triton.installation import Installation, environment, find, prepare_backends

__all__ = ["Installation", "Server", "find", "reasons", "running", "start", "stop"]

EXIT_TIMEOUT = 20  # seconds that tritonserver gives requests in flight at SIGTERM
CACHE_BYTES = 64 << 20  # of the local response cache, which packages may use
LOG_KEPT = 8 << 20  # bytes of log after which a start moves it aside
_ATTEMPTS = 5  # how often free ports are chosen again when somebody takes one in between
_LINK, _TRACE = "repository", "trace.json"  # in the state folder
_PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}  # Triton's own

_STOPPING = "stopping"  # a file in the state folder
_WATCH_EVERY = 0.3  # seconds
_TAIL = 1 << 16  # bytes of a log in which its last words are looked for


@dataclass(frozen=True)
class Server:
    """A running server: addresses as host:port, the process, its log, and the prefix of its shared memory regions."""

    pid: int
    created: float  # the process's start time: a pid alone may be used again
    http: str
    grpc: str
    metrics: str
    log: str
    version: str
    source: str
    regions: str
    arguments: tuple[str, ...] = ()  # beside those that every server gets

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        return False


def running(state: Path) -> Server | None:
    """The server of this state folder, or None."""
    import msgspec

    try:
        server = msgspec.json.decode((state / "server.json").read_bytes(), type=Server)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return server if server.alive else None


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

    With `standard_ports` Triton's usual ports are taken where they are free. In the foreground the server ends with the
    thread that started it; detached it stays. Raises BusyError where one runs on this state folder already, ServerError
    where a port is taken, or the server ends or is not live in `timeout` seconds.
    """
    state.mkdir(parents=True, exist_ok=True)
    log = log or state / "triton.log"
    with _only_one(state) as held:
        sweep(state)
        backends = prepare_backends(installation, state / "backends")
        (state / _STOPPING).unlink(missing_ok=True)
        _link_repository(state, repository)
        _rotate(log)
        wanted = {"http": http_port, "grpc": grpc_port, "metrics": metrics_port}
        for _ in range(_ATTEMPTS):
            ports = _choose(host, wanted, standard_ports)
            command = _command(installation, backends, host, ports, state, gpu, arguments)
            with suppress(_PortTaken):
                pid = _started(command, installation, state, log, held, detach, ports, timeout)
                server = replace(_server(pid, host, ports, log, installation, state), arguments=tuple(arguments))
                _remember(state, server)
                return server
    raise ServerError("the free ports that were chosen are taken again and again", do="name the ports")


def _server(pid: int, host: str, ports: dict[str, int], log: Path, installation: Installation, state: Path) -> Server:
    http, grpc, metrics = (f"{host}:{ports[name]}" for name in ("http", "grpc", "metrics"))
    created = psutil.Process(pid).create_time()
    prefix = region_prefix(state)
    return Server(pid, created, http, grpc, metrics, str(log), installation.version, installation.source, prefix)


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
    offset = log.stat().st_size if log.exists() else 0
    process = _spawn(command, installation, state, log, held, detach)
    try:
        _wait_live(process, ports, timeout, log, offset)
    except BaseException:
        _end_group(process.pid, 1.0)
        sweep(state)
        raise
    return process.pid


def stop(server: Server, state: Path, *, timeout: float = EXIT_TIMEOUT + 10.0) -> None:
    """End the server: TERM, wait for requests in flight, KILL at the deadline; its stubs and regions go with it."""
    tell_to_stop(state)
    end(server, state, timeout=timeout)
    (state / "server.json").unlink(missing_ok=True)


def end(server: Server, state: Path, *, timeout: float) -> None:
    """As `stop`, but whoever supervises the server may start it again."""
    _end_group(server.pid, timeout)
    sweep(state)


def answers(server: Server) -> bool:
    """Whether the server answers a new connection within two seconds."""
    host, _, port = server.http.rpartition(":")
    return _live(host, int(port))


@contextmanager
def guarded(server: Server, state: Path) -> Iterator[None]:
    """While the block talks to the server: should it die, its orphaned stubs go at once.

    They inherited its connections, which would stay open: who waits for an answer would wait for its time limit.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_WATCH_EVERY):
            if not server.alive:
                sweep(state)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


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


def last_words(log: Path) -> str:
    """The last error in a server's log, "" where there is none."""
    if not log.is_file():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL))
        lines = stream.read().decode(errors="replace").splitlines()
    found = [line for line in lines if re.match(r"E\d{4} |Signal |error:", line)]
    return found[-1][:300] if found else (lines[-1][:300] if lines else "")


def region_prefix(state: Path) -> str:
    """The prefix of this state folder's regions in /dev/shm, so that only our own leftovers are ever cleaned."""
    return "tritonpm_" + hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12] + "_"


def sweep(state: Path) -> None:
    """Clean what a killed server of this state folder left: orphaned stubs, then their shared memory regions."""
    if running(state):
        return
    prefix = region_prefix(state)
    for process in psutil.process_iter(["name", "cmdline"]):
        command = process.info["cmdline"] or ()
        if "triton_python_backend_stub" in (process.info["name"] or "") + "".join(command[:1]) and any(
            prefix in part for part in command
        ):
            with suppress(psutil.Error):
                process.kill()
                process.wait(5)
    for region in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108
        region.unlink(missing_ok=True)


def reasons(log: Path, model: str, *, offset: int = 0) -> list[str]:
    """What the log says, from byte `offset` on, of errors with this model; the newest last."""
    found, detail = [], ""
    named = re.compile(rf"(?<![\w.-]){re.escape(model)}(?![\w-])")
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(offset)
        for line in lines:
            if line.startswith("[libprotobuf ERROR"):  # the line before the one that names the model
                detail = ": " + line.partition("ModelConfig: ")[2].strip()
            entry = re.match(r"[EW]\d{4} [\d:.]+ \d+ (?:[\w.]+:\d+\] )?(.*)", line)
            if entry and named.search(entry[1]):
                found.append(entry[1].strip().strip('"') + detail)
                detail = ""
    return found


@contextmanager
def _only_one(state: Path) -> Iterator[int]:
    """Hold the state folder's lock; the server inherits the descriptor, so the lock lasts as long as it does."""
    descriptor = os.open(state / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + 2
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
                    f"a server already runs for this workspace{who}", do="use it, or end it with `tritonpm stop`"
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


def _choose(host: str, wanted: dict[str, int | None], standard: bool) -> dict[str, int]:
    """Ports by name: the wanted ones, which must be free, and free ones for the rest."""
    if standard:
        wanted = {n: port or (_PORTS[n] if _free(host, _PORTS[n]) else None) for n, port in wanted.items()}
    open_sockets, ports = [], {}
    try:
        for name, port in wanted.items():
            listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            open_sockets.append(listener)
            try:
                listener.bind((host, port or 0))
            except OSError as error:
                raise ServerError(
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
        f"--model-repository={_LINK}",
        "--model-control-mode=explicit",
        f"--backend-directory={backends.name}",
        f"--exit-timeout-secs={EXIT_TIMEOUT}",
        f"--http-address={host}",
        f"--http-port={ports['http']}",
        f"--grpc-address={host}",
        f"--grpc-port={ports['grpc']}",
        f"--metrics-address={host}",
        f"--metrics-port={ports['metrics']}",
        "--rate-limit=execution_count",
        f"--trace-config=triton,file={_TRACE}",  # without a file tracing cannot be switched on later
        "--trace-config=level=OFF",
        "--metrics-config=summary_latencies=true",  # p50 and p99 of every model
    ]
    if installation.caches:
        command += [f"--cache-directory={installation.caches}", f"--cache-config=local,size={CACHE_BYTES}"]
    if not gpu:
        command.append("--allow-gpu-metrics=false")
    ours = ("python", *(path.name for path in backends.iterdir() if (path / "model.py").is_file()))
    command += [f"--backend-config={name},shm-region-prefix-name={region_prefix(state)}" for name in ours]
    return [*command, *arguments]


def _link_repository(state: Path, repository: Path) -> None:
    """Make the repository reachable from the state folder by a relative path.

    The Python backend starts its stubs through a shell without quoting: a blank in a path would hang every load. So the
    server runs in the state folder and is given relative paths only.
    """
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
            env=environment(installation),
            cwd=state,
            start_new_session=True,  # a group of its own: Ctrl-C reaches us first, and a KILL reaches the stubs too
            pass_fds=(held,),
        )


class _PortTaken(Exception):  # noqa: N818
    """Somebody took a chosen port between our look and the server's."""


def _wait_live(process: subprocess.Popen[bytes], ports: dict[str, int], timeout: float, log: Path, offset: int) -> None:
    """Until this very process listens on all its ports and says that it is live."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = _last_words(log, offset)
            if "already in use" in said.lower():
                raise _PortTaken
            raise ServerError(
                f"tritonserver ended at its start with code {process.returncode}: {said}", do=f"the whole log is {log}"
            )
        addresses = _listening(process.pid)
        if set(ports.values()) <= set(addresses) and _live(addresses[ports["http"]], ports["http"]):
            return
        time.sleep(0.02)
    raise ServerError(f"tritonserver was not live after {timeout:g} s", do=f"look into {log}, or give --timeout")


def _listening(pid: int) -> dict[int, str]:
    """The ports that a process listens on, with the address of each."""
    with suppress(psutil.Error):
        connections = psutil.Process(pid).net_connections("tcp")
        return {c.laddr.port: c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return {}


def _live(host: str, port: int) -> bool:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=2)  # noqa: S104
    try:
        connection.request("GET", "/v2/health/live")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _last_words(log: Path, offset: int) -> str:
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(offset)
        said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.startswith("E") or "error" in line.lower()]
    # After an error of main.cc the server shuts down, and may say more, or abort, on its way.
    final = [line for line in errors if "main.cc" in line]
    return (final or errors or said or ["it said nothing"])[-1]


def _end_group(pid: int, timeout: float) -> None:
    """TERM the server, and at the deadline, or once it is gone, KILL what is left of its process group."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()
        with suppress(psutil.TimeoutExpired):
            process.wait(timeout)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(10)


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_KEPT:
        log.replace(log.with_suffix(".old.log"))


def _remember(state: Path, server: Server) -> None:
    import msgspec

    aside = state / "server.json.new"
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(asdict(server))))
    aside.replace(state / "server.json")
