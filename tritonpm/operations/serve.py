"""`tritonpm serve`: the workspace's own server, and what it had loaded when the last one ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import TritonpmError
from tritonpm.operations.load import load_proved
from tritonpm.operations.local_repository import changing
from tritonpm.operations.stop import unload_recorded
from tritonpm.triton import embedded

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class ServerAddresses:
    """A running server's addresses (host:port) and log file."""

    version: str
    pid: int
    http: str
    grpc: str
    metrics: str
    log: str


def serve(
    context: Context, tritonserver: Path | None = None, *, detach: bool, timeout: float = 60.0, **address: object
) -> ServerAddresses:
    """Start the server. Raises ServerError, BusyError."""
    with changing(context, "serve"):
        if embedded.running(context.workspace.server) is None:  # what one that runs has loaded stays loaded
            unload_recorded(context)
    with context.progress("Starting Triton"):
        server = embedded.start(
            embedded.find(tritonserver),
            context.workspace.repository,
            context.workspace.server,
            detach=detach,
            timeout=timeout,
            gpu=bool(context.target.gpus),
            **{"standard_ports": True, **address},  # type: ignore[arg-type]
        )
    return ServerAddresses(server.version, server.pid, server.http, server.grpc, server.metrics, server.log)


def load_all_proved(context: Context) -> Iterator[tuple[str, str]]:
    """Load what was loaded when the last server ended, as it was proved: (name, why not)."""
    here = [entry.name for entry in context.catalogue.packages() if entry.wanted and not entry.server]
    for name in here:
        try:
            load_proved(context, name)
        except TritonpmError as error:
            yield name, str(error)
        else:
            yield name, ""
