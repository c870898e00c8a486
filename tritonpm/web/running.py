"""The page as a running server: bound first, so that its address is known before it answers."""

from __future__ import annotations

import gc
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from tritonpm.core.errors import ServerError, UsageError
from tritonpm.triton.connection import Connection
from tritonpm.web.app import create
from tritonpm.web.connections import Connections, Listener, protocol
from tritonpm.web.events import Hub
from tritonpm.web.security import PageAccess

_END = 10  # seconds that open requests have when the page ends


class _Server(uvicorn.Server):
    """Ends the streams of events first: they are requests that would never end."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._hub.close()
        await super().shutdown(sockets)


class Page:
    """A page on an address of its own. Raises ServerError where that is taken, UsageError for a key without more."""

    def __init__(
        self, workspace: Path | None, server: Connection | str | None, host: str, port: int, access: PageAccess,
        certificate: Path | None = None, key: Path | None = None, metrics: str | None = None,
    ) -> None:  # fmt: skip
        if (certificate is None) != (key is None):
            raise UsageError("a certificate and its key go together", do="give both --tls-cert and --tls-key")
        app = create(workspace, server=server, metrics=metrics, access=access)
        self._socket = _bound(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if certificate else 'http'}://{shown}:{self._socket.getsockname()[1]}/"
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="on", proxy_headers=False,
            timeout_graceful_shutdown=_END, http=protocol(self._socket.connections), ws="none",
            ssl_certfile=certificate and str(certificate), ssl_keyfile=key and str(key),
        )  # fmt: skip
        self._server = _Server(config, app.state.site.hub)

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM."""
        gc.collect()
        gc.freeze()  # what is there stays: to look through it again would hold up every tenth list for 80 ms
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):  # uvicorn has ended by then, and raises the signal once more
            self._server.run(sockets=[self._socket])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread for as long as the block lasts; open requests are finished, for a while."""
        thread = threading.Thread(target=self.run, name="page", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.should_exit = True
            thread.join(2 * _END)


def _bound(host: str, port: int) -> Listener:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends at once (TCP_NODELAY): without it small answers wait 40 ms for an ACK.
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.connections = Connections()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
        listener.listen()  # who comes before it answers waits
    except OSError as error:
        listener.close()
        raise ServerError(
            f"cannot be bound ({error.strerror})", where=f"{host}:{port}", do="choose another --port"
        ) from None
    return listener
