"""One moment of the machine, the GPUs, the server and the packages, made of two looks at what they count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tritonpm.hardware.machine_use import MachineUse
from tritonpm.hardware.nvml import Gpus, GpuSample, Mig
from tritonpm.repository.member_names import stage_of
from tritonpm.triton.ensembles import NEXT
from tritonpm.triton.processes import ProcessUse
from tritonpm.triton.rates import Rates, difference, rates
from tritonpm.triton.statistics import Counters


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes take: percent of one core, bytes. None: not told, or no second look yet.

    Resident memory counts pages that processes share in each of them; unique memory would be free without them.
    """

    processes: int
    cpu_percent: float | None
    memory_resident: int
    memory_unique: int | None
    gpu_memory: int | None
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """A model of a cascade. `usage` is None where its processes cannot be seen from here."""

    name: str
    rates: Rates
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class PackageLoad:
    """A package as its clients see it, and the models behind it where it is a cascade."""

    name: str
    rates: Rates
    usage: Usage | None
    stages: tuple[ModelLoad, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """The server. `state`: live, stopped or silent, with the reason; `usage` is that of its own process.

    `source` of the figures: metrics, statistics, or "" where there are none; `percentiles`: whether it tells them.
    """

    state: str
    address: str = ""
    reason: str = ""
    source: str = ""
    percentiles: bool = False
    pid: int | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """All cores together, 100 % where all are busy; bytes."""

    cores: int
    cpu_percent: float | None
    memory_used: int
    memory_total: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment. `number` counts a monitor's snapshots; `seconds` are those that its rates are taken over."""

    number: int
    time: datetime
    seconds: float | None
    machine: MachineLoad
    gpus: Gpus
    server: ServerLoad
    packages: tuple[PackageLoad, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What was read at one moment (seconds of a clock that never goes back); `counters` None where no server told."""

    at: float
    machine: MachineUse
    gpus: Gpus
    server: ServerLoad
    processes: Sequence[ProcessUse] | None
    within: bool  # whether models may run in the server's own process, where nothing tells which takes what
    counters: Sequence[Counters] | None
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)  # the models behind each cascade


def compose(number: int, time: datetime, before: Look | None, now: Look) -> Snapshot:
    """The snapshot of what was read `now`, with rates since `before`."""
    meter = _Meter(before, now)
    machine = MachineLoad(
        now.machine.cores,
        now.machine.percent_since(before.machine if before else None),
        now.machine.memory_used,
        now.machine.memory_total,
    )
    server = replace(now.server, usage=meter.usage([""]))
    return Snapshot(number, time, meter.seconds, machine, now.gpus, server, tuple(meter.packages()))


def grouped(models: Iterable[str], members: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The models of each package: its own, its rehearsal, and its members, which cascades may share.

    A member whose cascade is not loaded yet, or no more, is no package: it counts once its cascade is there.
    """
    names = set(models)
    behind = {name: names.intersection((name + NEXT, *members.get(name, ()))) for name in names}
    taken = {model for models in behind.values() for model in models}
    return {name: [name, *sorted(behind[name])] for name in sorted(names - taken) if not stage_of(name)}


def on_gpus(gpus: Gpus) -> Mapping[int, int | None] | None:
    """The bytes that each process has on all GPUs that tell; None where no GPU tells."""
    parts: list[GpuSample | Mig] = [part for gpu in gpus.devices for part in (gpu.mig or (gpu,))]
    lists = [part.processes for part in parts if part.processes is not None]
    held: dict[int, int | None] = {}
    for process in (process for processes in lists for process in processes):
        held[process.pid] = _sum((held.get(process.pid, 0), process.memory))
    return held if lists else None


class _Meter:
    """What models and their processes did between two looks."""

    def __init__(self, before: Look | None, now: Look) -> None:
        self.now, self.seconds = now, now.at - before.at if before else None
        self.spent = {(use.pid, use.created): use.cpu for use in (before.processes if before else None) or ()}
        self.gpu = on_gpus(now.gpus)
        known, counted = before.counters if before else None, now.counters or ()
        if before and known is not None and before.server.pid != now.server.pid:
            known = ()  # another server, which began at zero
        # Where the last look found no counters, nothing says since when these were counted.
        self.counted_in = None if known is None else self.seconds
        since = counted if known is None else difference(known, counted)
        self.counted = [counters for counters in since if counters.loaded]

    def packages(self) -> Iterator[PackageLoad]:
        """Every package that the server has, or a process serves."""
        served = (use.model for use in self.now.processes or () if use.model)
        there = (*(counters.model for counters in self.counted), *served)
        for name, models in grouped(there, self.now.members).items():
            stages = [model for model in models if model not in (name, name + NEXT)]
            loads = (ModelLoad(stage, self.rates(stage, [stage]), self.usage([stage])) for stage in stages)
            yield PackageLoad(name, self.rates(name, stages or [name]), self.usage(models), tuple(loads))

    def rates(self, model: str, stages: Sequence[str]) -> Rates:
        """A model's; `stages` are the models in which its requests wait and are computed."""
        own = [counters for counters in self.counted if counters.model == model]
        return rates(own, [counters for counters in self.counted if counters.model in stages], self.counted_in)

    def usage(self, models: Sequence[str]) -> Usage | None:
        """What the processes of these models take; None where they have none of their own, or we see none."""
        if self.now.processes is None:
            return None
        uses = [use for use in self.now.processes if use.model in models]
        if not uses and self.now.within:
            return None
        spent = sum(use.cpu - self.spent.get((use.pid, use.created), 0.0) for use in uses)
        return Usage(
            len(uses),
            100 * spent / self.seconds if self.seconds else None,
            sum(use.resident for use in uses),
            _sum(use.unique for use in uses),
            None if self.gpu is None else _sum(self.gpu.get(use.pid, 0) for use in uses),
            tuple(use.pid for use in uses),
        )


def _sum(values: Iterable[int | None]) -> int | None:
    """None where one of them is not told."""
    listed = list(values)
    return None if None in listed else sum(value for value in listed if value is not None)
