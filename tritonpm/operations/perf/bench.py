"""A Triton that nobody else uses, to measure packages on as they are, as they were, or as they could be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import InferenceError
from tritonpm.core.tensors import guesses, load_npz
from tritonpm.operations.perf.kept_log import log_kept
from tritonpm.operations.probe import samples_of
from tritonpm.perf import tool
from tritonpm.perf.energy import reader
from tritonpm.perf.inputs import Inputs, batching, inputs
from tritonpm.perf.memory import resident
from tritonpm.perf.run import measure

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Package, Revision
    from tritonpm.operations.context import Context
    from tritonpm.perf.measurement import Load, Measurement
    from tritonpm.perf.tool import Tool
    from tritonpm.triton.client import Client
    from tritonpm.triton.server import Server


_PATIENCE = 1.0  # seconds that a server has to end which nobody else waits for; what it leaves is swept


class Bench:
    """What measures: perf_analyzer, and connections to one server by each protocol."""

    def __init__(self, context: Context, found: Tool, clients: dict[str, Client], server: Server | None) -> None:
        self.context, self.tool, self.clients, self.server = context, found, clients, server

    def measure(self, record: Record, model: str, load: Load) -> Measurement:
        """Put a loaded model under a load, with its package's samples. Raises as `perf.run.measure` does."""
        client = self.clients[load.protocol]
        settings = [record.settings.for_stage(stage.name) for stage in record.package.stages]
        gpus = {gpu for own in settings for gpu in own.gpus}
        energy = reader(gpu=any(own.on_gpu for own in settings), indexes=gpus)
        sent = self.inputs(record, client, model, load.batch)
        found = measure(self.tool, client, model, sent, load, energy=energy)
        return replace(found, memory=self.memory([stage.model for stage in found.stages]))

    def memory(self, models: Sequence[str]) -> int | None:
        """Bytes that loaded models hold; None of a server on another machine, or where they have no process."""
        held = sum(resident(self.server.pid, model=model) for model in models) if self.server else 0
        return held or None

    def inputs(self, record: Record, client: Client, model: str, batch: int = 1) -> Inputs:
        """What is sent: the package's samples, else a made-up input. Raises InferenceError where it takes none."""
        package, signature = record.package, client.metadata(model)
        axis = all(each.kind != "none" for each in batch_axes(self.context, package).values())
        how = batching(client.config(model), signature, axis=axis)
        samples = [load_npz(self.context.blobs.path(package.file(s.inputs).digest)) for s in samples_of(record)]
        if samples:
            source = f"{len(samples)} sample{'s' * (len(samples) != 1)} of the package, in turn"
            return inputs(samples, signature, how, batch=batch, source=source)
        for guess in guesses(signature.inputs, batch=None if how == "none" else 1):
            try:
                client.infer(model, guess)
                return inputs([guess], signature, how, source="a made-up input, since the package has no samples")
            except InferenceError as error:
                refusal = error.what
        raise InferenceError(f"it takes none of the made-up inputs: {refusal}", where=model, do="add a sample to it")


class PrivateBench(Bench):
    """A bench with a server of its own, which packages are put onto."""

    server: Server

    def __init__(self, context: Context, found: Tool, clients: dict[str, Client], server: Server, folder: Path) -> None:
        super().__init__(context, found, clients, server)
        self.folder, self._pid, self._empty = folder, server.pid, resident(server.pid)

    def put(self, record: Record, name: str, **changes: object) -> Revision:
        """Load a package under a name of its own, with other settings.

        Raises RuleError, RenderError, NotOptimisedError, ServerError.
        """
        from tritonpm.repository.publish import publish

        revision = trial_revision(self.context, record, name, **changes)
        publish(revision, self.folder / "models", self.folder / "staging", self.context.blobs.path)
        with log_kept(Path(self.server.log), self.context.workspace.logs):
            self.clients["grpc"].load_and_wait(name)
        return revision

    def take(self, record: Record, name: str) -> None:
        """Unload what `put` loaded, so that the next one has the machine alone."""
        self.clients["grpc"].unload_and_wait(name, dependents=record.package.cascade)

    def memory(self, models: Sequence[str]) -> int | None:
        """Bytes that loaded models hold, or where they live in the server's process: by how much that has grown."""
        return super().memory(models) or max(0, resident(self._pid) - self._empty) or None


@contextmanager
def private(context: Context, *packages: Package) -> Iterator[PrivateBench]:
    """A bench with a server of its own for these packages, gone at the end whatever happens.

    Raises ServerError, NotFoundError.
    """
    from tritonpm.triton.client import Client

    found = tool.find()
    with alone(context, *packages) as (folder, server), ExitStack() as around:
        urls = {"http": server.http, "grpc": server.grpc}
        clients = {name: around.enter_context(Client(url, protocol=name)) for name, url in urls.items()}
        yield PrivateBench(context, found, clients, server, folder)


@contextmanager
def alone(context: Context, *packages: Package) -> Iterator[tuple[Path, Server]]:
    """A Triton that nobody else uses, for these packages, and the folder with its `models` and `staging`.

    Where something fails on it, its log is kept and the error names the file.

    Configs that we have written leave nothing to be completed. To find that out takes Triton a process, and a second,
    for every load.
    """
    from tritonpm.hardware import target
    from tritonpm.triton import embedded

    whole = bool(packages) and all(stage.config is None for package in packages for stage in package.stages)
    with (
        context.workspace.scratch("bench") as folder,
        log_kept(folder / "state/triton.log", context.workspace.logs),
    ):
        for part in ("models", "staging"):
            (folder / part).mkdir()
        with context.progress("Starting a Triton to measure on"):
            server = embedded.start(
                embedded.find(None), folder / "models", folder / "state", gpu=bool(target().gpus),
                arguments=("--disable-auto-complete-config",) if whole else (),
            )  # fmt: skip
        try:
            yield folder, server
        finally:
            embedded.stop(server, folder / "state", timeout=_PATIENCE)


def as_it_was(context: Context, name: str, number: int | None) -> Record:
    """A package as a revision of it was made; None is the current settings. Raises NotFoundError."""
    from tritonpm.core.errors import NotFoundError

    record = context.catalogue.get(name)
    if number is None:
        return record
    found = next((each for each in context.catalogue.history(name) if each.number == number), None)
    if found is None:
        raise NotFoundError(f"{name} has no revision {number}", do=f"`tritonpm history {name}` lists them")
    if found.source is None:
        raise NotFoundError(f"of revision {number} of {name} it is not known what it was made of", do="name another")
    return replace(record, package=found.source.package, settings=found.source.settings, revision=number)
