"""Work on many servers at once, each with a deadline: one that is gone or hangs holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from tritonpm.core.errors import ServerError, TritonpmError
from tritonpm.triton.client import Client
from tritonpm.triton.connection import TIMEOUT, Connection, Tls, bearer

if TYPE_CHECKING:
    from tritonpm.fleet.context import FleetContext, FleetServer

T = TypeVar("T")
AT_ONCE = 32
_LOOK_EVERY, _QUICK = 1.0, 10.0  # seconds between two looks at a server that works, and for its answer


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of the work on one server; `lost` where the server did not answer any more."""

    server: FleetServer
    value: T | None = None
    error: TritonpmError | None = None
    lost: bool = False


class Crew:
    """The servers of a context, reached with what they want to see."""

    def __init__(self, context: FleetContext, *, load_timeout: float = 300.0) -> None:
        self.access, self.load_timeout = context.access, load_timeout
        self.patience = context.access.timeout or TIMEOUT  # seconds that a server may answer nobody

    def do(self, servers: Iterable[FleetServer], work: Callable[[FleetServer, Client], T]) -> list[Outcome[T]]:
        """Do `work` on every server, side by side; what came of it, in their order. Never raises ServerError."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(lambda server: self._watched(server, work), servers))

    def connection(self, server: FleetServer, timeout: float) -> Connection:
        """How a server is reached. Raises NotFoundError where the token's file is not there."""
        access = self.access
        tls = Tls(access.ca, access.certificate, access.key) if access.ca or access.certificate or access.key else None
        return Connection(server.url, bearer(Path(access.token)) if access.token else {}, tls, timeout)

    def _watched(self, server: FleetServer, work: Callable[[FleetServer, Client], T]) -> Outcome[T]:
        """Wait for as long as the server answers somebody; a load may take long, and a server that hangs for ever."""
        running = _Work(lambda: self._done(server, work))
        answered = time.monotonic()
        while not running.ended(_LOOK_EVERY):
            if self._answers(server):
                answered = time.monotonic()
            elif time.monotonic() - answered > self.patience:
                what = f"it has answered nobody for {self.patience:g} s"
                return Outcome(server, error=ServerError(what, where=server.name), lost=True)
        if isinstance(running.error, TritonpmError):
            return Outcome(server, error=running.error, lost=not self._answers(server))
        if running.error:
            raise running.error
        return Outcome(server, value=running.value)

    def _done(self, server: FleetServer, work: Callable[[FleetServer, Client], T]) -> T:
        with Client.of(self.connection(server, self.patience), load_timeout=self.load_timeout) as client:
            return work(server, client)

    def _answers(self, server: FleetServer) -> bool:
        with Client.of(self.connection(server, min(_QUICK, self.patience))) as client:
            return client.live()


class _Work(Generic[T]):
    """Work in a thread of its own, which is left to itself where its server hangs."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.value: T | None = None
        self.error: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ended(self, within: float) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.value = self._work()
        except BaseException as error:  # raised again where it is waited for
            self.error = error
