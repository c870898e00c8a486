"""Where candidates for a package's settings compete: a private server, with several of them loaded side by side."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil

from tritonpm.core.errors import ServerError, TritonpmError
from tritonpm.core.units import human
from tritonpm.hardware.memory import need
from tritonpm.operations import probe as probing
from tritonpm.operations.memory import require_room_on_gpus, room_for
from tritonpm.operations.render import revision_of, trial_revision
from tritonpm.perf.counters import counts
from tritonpm.perf.measurement import Workload
from tritonpm.repository.config import instances
from tritonpm.repository.member_names import stage_of
from tritonpm.tune.reading import Reading
from tritonpm.tune.search import Refused
from tritonpm.tune.space import Candidate, Choice, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tritonpm.catalogue import Record
    from tritonpm.core.types import Revision
    from tritonpm.operations.perf.bench import PrivateBench
    from tritonpm.perf.measurement import Measurement
    from tritonpm.settings.settings import Settings

Choices = tuple[tuple[str, Choice], ...]


@dataclass(frozen=True)
class Contender:
    """Settings that are loaded, under what name."""

    name: str
    record: Record
    revision: Revision


class Arena:
    """One package's; `prove` refuses settings whose answers are not as right as they must be.

    Who leaves stays loaded while there is room: an idle model takes nothing but memory, and may come back.
    """

    def __init__(self, bench: PrivateBench, record: Record, load: Workload, prove: Callable[[Settings], None]) -> None:
        self.bench, self.record, self.load, self.prove = bench, record, load, prove
        self.context = bench.context
        self.loaded: dict[Choices, Contender] = {}
        self.present: set[Candidate] = set()
        self.count, self.reserve = 0, psutil.virtual_memory().available // 2

    def enter(self, candidate: Candidate) -> None:
        """Load it under a name of its own and probe it. Raises Refused; ServerError where the server has gone."""
        try:
            if candidate.choices not in self.loaded:
                self._load(candidate)
        except TritonpmError as error:
            self._require_server()
            raise Refused(str(error)) from None
        self.present.add(candidate)

    def measure(self, candidate: Candidate, seconds: float) -> Reading:
        """Put it under its load. Raises Refused; ServerError where the server has gone."""
        contender = self.loaded[candidate.choices]
        name, record = contender.name, contender.record
        load = replace(self.load, concurrency=candidate.in_flight, seconds=seconds)
        client = self.bench.clients[load.protocol]
        try:
            before, spent = counts(client, name).inferences, self._cpu_seconds()
            measurement = self.bench.measure(record, name, load)
            done, spent = counts(client, name).inferences - before, self._cpu_seconds() - spent
        except TritonpmError as error:
            self._require_server()
            self.leave(candidate)
            raise Refused(str(error)) from None
        latency, work = measurement.latency, _shared(measurement, spent / max(1, done), record)
        return Reading(measurement.throughput, latency.p50, latency.p99, work, measurement.memory, seconds, latency.p95)

    def leave(self, candidate: Candidate) -> None:
        """It is measured no more for now."""
        self.present.discard(candidate)

    def _load(self, candidate: Candidate) -> None:
        base, package = self.record.settings, self.record.package
        settings = settings_of(candidate, base, self.load.batch, cascade=package.cascade)
        record = replace(self.record, settings=settings)
        revision_of(self.context, package, settings)
        self.prove(settings)
        self.count += 1
        revision = trial_revision(self.context, record, f"{package.name}-{self.count}")
        self._make_room(record, revision)
        with room_for(self.context, record, revision):
            self.bench.put(record, revision.name)
        self.loaded[candidate.choices] = Contender(revision.name, record, revision)
        try:
            probing.probe(self.context, self.bench.clients["grpc"], record, model=revision.name)
        except TritonpmError:
            self._unload(candidate.choices)
            raise

    def _make_room(self, record: Record, revision: Revision) -> None:
        """Unload who has left, the first first, until there is room. Raises ServerError, CapacityError."""
        here = {candidate.choices for candidate in self.present}
        idle = [choices for choices in self.loaded if choices not in here]
        while True:
            try:
                require_room_on_gpus(self.context, record, revision)
                self._require_memory(record)
                if psutil.virtual_memory().available > self.reserve or not idle:
                    return
            except TritonpmError:
                if not idle:
                    raise
            self._unload(idle.pop(0))

    def _unload(self, choices: Choices) -> None:
        """Members that somebody else has stay."""
        gone, client = self.loaded.pop(choices), self.bench.clients["grpc"]
        needed = {model.name for contender in self.loaded.values() for model in contender.revision.models}
        client.unload_and_wait(gone.name)
        for model in gone.revision.models[:-1]:
            if model.name not in needed:
                client.unload_and_wait(model.name)

    def _require_memory(self, record: Record) -> None:
        """What runs on the CPU needs this machine's memory. Raises ServerError."""
        package, weights = record.package, sum(file.size for file in record.package.files)
        target, settings = self.context.target, [record.settings.for_stage(stage.name) for stage in package.stages]
        count = max((instances(own, target, package) for own in settings if not own.on_gpu), default=0)
        wanted, free = need(weights, count), psutil.virtual_memory().available
        if count and wanted.bytes > free:
            raise ServerError(f"it may need {human(wanted.bytes)} ({wanted.how}), and {human(free)} are free")

    def _cpu_seconds(self) -> float:
        """That the server and all below it have used."""
        total = 0.0
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.bench.server.pid)
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):  # it ended while we looked
                    times = process.cpu_times()
                    total += times.user + times.system
        return total

    def _require_server(self) -> None:
        if not self.bench.server.alive:
            raise ServerError("the server that was measured on has ended", do="tune again: it goes on from here")


def _shared(measurement: Measurement, work: float, record: Record) -> dict[str, float]:
    """The CPU-seconds of an inference, divided among the stages as their compute times are."""
    if not record.package.cascade:
        return {record.package.stages[0].name: work}
    computes = [stage.compute_input + stage.compute + stage.compute_output for stage in measurement.stages]
    whole = sum(computes) or 1.0
    names = [stage_of(stage.model) for stage in measurement.stages]
    return {name: work * compute / whole for name, compute in zip(names, computes, strict=True)}
