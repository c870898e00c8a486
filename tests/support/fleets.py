"""A context of several servers on one machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.support.load import ONES
from tests.support.threads import working
from tests.support.workspaces import QUICKLY, opened
from tritonpm.core.errors import TritonpmError
from tritonpm.fleet.context import FleetServer, ServerAccess
from tritonpm.fleet.waves import Pace
from tritonpm.operations.context import Context
from tritonpm.operations.fleet import contexts
from tritonpm.operations.fleet.status import FleetView, status
from tritonpm.operations.fleet.sync import sync
from tritonpm.operations.init import init
from tritonpm.triton import embedded
from tritonpm.triton.client import Client

PACE = Pace(wave="1")


@dataclass
class Site:
    """Servers that read one repository, a workspace's own or one elsewhere; `when` gets what a roll-out says."""

    root: Path
    elsewhere: str = ""
    servers: list[embedded.Server] = field(default_factory=list)
    when: Callable[[str], None] = lambda sentence: None

    @property
    def context(self) -> Context:
        return opened(self.root, warn=lambda sentence: self.when(sentence))

    @property
    def urls(self) -> list[str]:
        return [f"http://{server.http}" for server in self.servers]

    def status(self) -> FleetView:
        return status(self.context, "prod")

    def start(self, number: int) -> None:
        """Start a server, on the addresses that it had if there was one."""
        state = self.root.parent / f"state {number}"
        ports: dict[str, int] = {}
        if number < len(self.servers):
            before = self.servers[number]
            ports = {
                f"{name}_port": int(getattr(before, name).rpartition(":")[2]) for name in ("http", "grpc", "metrics")
            }
        reads = (f"--model-repository={self.elsewhere}",) if self.elsewhere else ()
        folder = self.root.parent / "empty" if self.elsewhere else self.root / "model_repository"
        folder.mkdir(exist_ok=True)
        started = embedded.start(embedded.find(), folder, state, arguments=(*reads, *QUICKLY["arguments"]), **ports)  # type: ignore[arg-type]
        self.servers[number : number + 1] = [started]

    def stop(self) -> None:
        with ThreadPoolExecutor() as threads:
            for number, server in enumerate(self.servers):
                threads.submit(embedded.stop, server, self.root.parent / f"state {number}", timeout=10)

    def answers(self, name: str) -> list[float | None]:
        """What each server answers; None where it does not serve the model."""
        return [answer_of(server, name) for server in self.servers]

    def synchronise(self) -> list[tuple[str, str, str]]:
        return list(sync(self.context, "prod", PACE))


def answer_of(server: embedded.Server, name: str) -> float | None:
    with Client(server.grpc, protocol="grpc", timeout=5) as client:
        return float(next(iter(client.infer(name, ONES).values()))[0, 0]) if client.ready(name) else None


@contextmanager
def running(folder: Path, zones: str, elsewhere: str = "") -> Iterator[Site]:
    """A context `prod` of one server in each of the zones."""
    init(folder / "a workspace")
    made = Site(folder / "a workspace", elsewhere)
    try:
        for number in range(len(zones)):
            made.start(number)
        servers = [FleetServer(url, 1000, {"zone": zone}) for url, zone in zip(made.urls, zones, strict=True)]
        contexts.add(made.context, "prod", servers, ServerAccess(timeout=4.0), elsewhere)
        yield made
    finally:
        made.stop()


@dataclass
class Load:
    """What closed-loop clients were answered, and what failed, on each server."""

    answers: list[list[float]]
    failures: list[list[str]]


@contextmanager
def under_load(site: Site, model: str) -> Iterator[Load]:
    """A gRPC client on each server."""
    seen, stop = Load([[] for _ in site.servers], [[] for _ in site.servers]), threading.Event()

    def work(number: int, address: str) -> None:
        with Client(address, protocol="grpc", timeout=10) as client:
            while not stop.is_set():
                time.sleep(0.01)  # the machine is shared with three servers
                try:
                    seen.answers[number].append(float(next(iter(client.infer(model, ONES).values()))[0, 0]))
                except TritonpmError as error:
                    seen.failures[number].append(str(error))

    with working([partial(work, number, server.grpc) for number, server in enumerate(site.servers)], stop):
        yield seen


def once(beginning: str, do: Callable[[], None]) -> Callable[[str], None]:
    """Do something the first time that a sentence begins so."""
    left = [do]

    def hear(sentence: str) -> None:
        if sentence.startswith(beginning) and left:
            left.pop()()

    return hear


def loaded(server: embedded.Server) -> set[str]:
    with Client(server.http) as client:
        return {state.name for state in client.index() if state.state == "READY"}
