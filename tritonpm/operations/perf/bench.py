"""A Triton that nobody else uses, to measure packages on as they are, as they were, or as they could be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonpm.operations.on_demand import taken
from tritonpm.operations.private_server import alone, place
from tritonpm.operations.render import trial_revision
from tritonpm.operations.sample_inputs import measuring_inputs
from tritonpm.perf import tool
from tritonpm.perf.energy import reader
from tritonpm.perf.memory import resident
from tritonpm.perf.run import measure

if TYPE_CHECKING:
    from pathlib import Path

    from tritonpm.catalogue import Record
    from tritonpm.core.types import Package, Revision
    from tritonpm.operations.context import Context
    from tritonpm.perf.measurement import Measurement, Workload
    from tritonpm.perf.tool import Tool
    from tritonpm.triton.client import Client
    from tritonpm.triton.server import Server


class Bench:
    """What measures: perf_analyzer, and connections to one server by each protocol."""

    def __init__(self, context: Context, analyzer: Tool, clients: dict[str, Client], server: Server | None) -> None:
        self.context, self.tool, self.clients, self.server = context, analyzer, clients, server

    def measure(self, record: Record, model: str, load: Workload) -> Measurement:
        """Put a loaded model under a load, with its package's samples. Raises as `perf.run.measure` does."""
        client = self.clients[load.protocol]
        settings = [record.settings.for_stage(stage.name) for stage in record.package.stages]
        gpus = {gpu for own in settings for gpu in own.gpus}
        energy = reader(gpu=any(own.on_gpu for own in settings), indexes=gpus)
        sent = measuring_inputs(self.context, record, client, model, batch=load.batch)
        measurement = measure(self.tool, client, model, sent, load, energy=energy)
        return replace(measurement, memory=self.memory(record, [stage.model for stage in measurement.stages]))

    def memory(self, record: Record, models: Sequence[str]) -> int | None:
        """Bytes that a package's loaded models hold; None of a server on another machine.

        Where they live in the server's process it is what they took when they were loaded.
        """
        proved = self.context.catalogue.proved(record.package.name) if self.server else None
        return self._of_stubs(models) or (taken(self.context, proved.revision) if proved else None)

    def _of_stubs(self, models: Sequence[str]) -> int:
        return sum(resident(self.server.pid, model=model) for model in models) if self.server else 0


class PrivateBench(Bench):
    """A bench with a server of its own, which packages are put onto."""

    server: Server

    def __init__(
        self, context: Context, analyzer: Tool, clients: dict[str, Client], server: Server, folder: Path
    ) -> None:
        super().__init__(context, analyzer, clients, server)
        self.folder, self._pid, self._empty = folder, server.pid, resident(server.pid)

    def put(self, record: Record, name: str, **changes: object) -> Revision:
        """Load a package under a name of its own, with other settings.

        Raises RuleError, RenderError, NotOptimisedError, ServerError.
        """
        revision = trial_revision(self.context, record, name, **changes)
        place(self.context, self.clients["grpc"], self.folder, revision)
        return revision

    def take(self, record: Record, name: str) -> None:
        """Unload what `put` loaded, so that the next one has the machine alone."""
        self.clients["grpc"].unload_and_wait(name, dependents=record.package.cascade)

    def memory(self, record: Record, models: Sequence[str]) -> int | None:
        """Bytes that loaded models hold, or where they live in the server's process: by how much that has grown."""
        return self._of_stubs(models) or max(0, resident(self._pid) - self._empty) or None


@contextmanager
def private(context: Context, *packages: Package) -> Iterator[PrivateBench]:
    """A bench with a server of its own for these packages, gone at the end whatever happens.

    Raises ServerError.
    """
    from tritonpm.triton.client import Client

    analyzer = tool.find()
    with alone(context, *packages) as (folder, server), ExitStack() as around:
        urls = {"http": server.http, "grpc": server.grpc}
        clients = {name: around.enter_context(Client(url, protocol=name)) for name, url in urls.items()}
        yield PrivateBench(context, analyzer, clients, server, folder)
