"""`tritonpm serve`: the workspace's own server, and what it had loaded when the last one ended."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpm.core.errors import BusyError, NotFoundError, TritonpmError
from tritonpm.operations.audit import audited
from tritonpm.operations.load import load_proved
from tritonpm.operations.local_repository import changing
from tritonpm.operations.server import connect
from tritonpm.operations.stop import unload_recorded
from tritonpm.operations.unload import unload
from tritonpm.triton import compiled, embedded
from tritonpm.triton.installation import to_compile

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_AT_ONCE = 8  # packages that are loaded at the same time: most of a load is waiting
_TRIES = 5  # to load a package while somebody else changes the workspace


@dataclass(frozen=True)
class ServerAddresses:
    """A running server's addresses (host:port) and log file."""

    version: str
    pid: int
    http: str
    grpc: str
    metrics: str
    log: str


@audited("serve")
def serve(
    context: Context, tritonserver: Path | None = None, *, detach: bool, timeout: float = 60.0, **address: object
) -> ServerAddresses:
    """Start the server. Raises ServerError, BusyError."""
    with changing(context, "serve"):
        if embedded.running(context.workspace.server) is None:  # what one that runs has loaded stays loaded
            unload_recorded(context)
            embedded.forget_restarts(context.workspace.server)
    return start_again(context, tritonserver, detach=detach, timeout=timeout, **address)


def start_again(
    context: Context, tritonserver: Path | None = None, *, detach: bool, timeout: float, **address: object
) -> ServerAddresses:
    """As `serve`, waiting for nobody's change: those that go on can only fail until a server is there."""
    installation = embedded.find(tritonserver)
    for name in to_compile(installation):
        with context.progress(f"Compiling the {name} backend, once"):
            compiled.chosen(name)
    options: dict[str, Any] = {"standard_ports": True, **address}
    last = embedded.last_ports(context.workspace.server)
    with context.progress("Starting Triton"):
        server = embedded.start(
            installation,
            context.workspace.repository,
            context.workspace.server,
            detach=detach,
            timeout=timeout,
            gpu=bool(context.target.gpus),
            **options,
        )
    if options["standard_ports"]:
        _tell_taken(context, server, last, {name for name in embedded.PORTS if options.get(f"{name}_port") is not None})
    return addresses(server)


def _tell_taken(context: Context, server: embedded.Server, last: Mapping[str, int], named: Collection[str]) -> None:
    """Say where it is, where that is neither named, nor Triton's usual port, nor where the last one was."""
    ports = embedded.ports_of(server)
    moved = [name for name, port in ports.items() if port not in (embedded.PORTS[name], last.get(name))]
    for name in moved:
        if name not in named:
            context.warn(f"Port {embedded.PORTS[name]} ({name}) is in use; using {ports[name]} instead, from now on.")


def addresses(server: embedded.Server) -> ServerAddresses:
    """Where a server that runs is asked."""
    return ServerAddresses(server.version, server.pid, server.http, server.grpc, server.metrics, server.log)


def load_all_proved(context: Context) -> Iterator[tuple[str, str]]:
    """Load what was loaded when the last server ended, side by side, and as it was proved: (name, why not)."""
    names = _wanted(context)
    _load_at_once(context, names)
    yield from _loaded(context, names)


def load_missing(
    context: Context, server: embedded.Server, last: Collection[str], *, at_once: bool
) -> Iterator[tuple[str, str]]:
    """As `load_all_proved`, of what does not serve, or is not recorded to; `last` last, none once the server ended.

    `at_once`: side by side first, which is quicker, but does not tell which of them has ended the server.
    """
    served = set[str]()
    with suppress(TritonpmError), connect(context) as client:
        served = client.serving()
    right = {entry.name for entry in context.catalogue.packages() if entry.status == "loaded"} & served
    names = sorted(set(_wanted(context)) - right, key=lambda name: (name in last, name))
    if at_once:
        _load_at_once(context, names)
    for name, reason in _loaded(context, names if server.alive else []):
        yield name, reason
        if not server.alive:
            return


def _load_at_once(context: Context, names: list[str]) -> None:
    """Have the server load what lies in the repository as it was proved, and is not being changed.

    Nobody waits for another's change, since this is none. Who says meanwhile that one shall not be loaded is heeded.
    """
    catalogue = context.catalogue
    changing_now = {model for *_, models in catalogue.open_intents() for model in models}

    def settled(name: str) -> bool:
        proved, current = catalogue.proved(name), catalogue.revision(name)
        return proved is not None and proved.revision == current and not changing_now & {m.name for m in current.models}

    def ask(name: str) -> None:
        with suppress(TritonpmError), connect(context) as client:
            client.load(name)

    loading = [name for name in names if settled(name)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(ask, loading))
    for name in sorted(set(loading) - set(_wanted(context))):
        with suppress(TritonpmError):
            unload(context, name, force=True)


def set_aside(context: Context, name: str, words: str) -> str:
    """Load it no more by itself, since tritonserver ends each time; the sentence that says so."""
    why = f"tritonserver ended each time that it was loaded ({words}), so it is set aside: `tritonpm load {name}`"
    with suppress(NotFoundError), changing(context, f"set {name} aside"):
        context.catalogue.set_status(name, "failed", why, wanted=False)
        context.catalogue.set_problem(name, why)
    return f"{name}: {why}"


def _wanted(context: Context) -> list[str]:
    return [entry.name for entry in context.catalogue.packages() if entry.wanted and not entry.server]


def _loaded(context: Context, names: list[str]) -> Iterator[tuple[str, str]]:
    """Those that somebody else's change was in the way of are tried again, after the others."""
    tries = dict.fromkeys(names, _TRIES)
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        tries[name] -= 1
        try:
            load_proved(context, name, only_wanted=True)
        except BusyError as error:
            if tries[name]:
                waiting.append(name)
            else:
                yield name, str(error)
        except TritonpmError as error:
            yield name, str(error)
        else:
            yield name, ""
