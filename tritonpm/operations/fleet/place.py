"""Which package goes on which server of a context, from what packages take and what servers have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import CapacityError, UsageError
from tritonpm.fleet.placement import Need, Placement, Room, place
from tritonpm.hardware.machine import target
from tritonpm.hardware.memory import need
from tritonpm.operations.fleet.roll_out import Rolling
from tritonpm.operations.fleet.servers import Fleet
from tritonpm.operations.on_demand import HOST
from tritonpm.repository.config import instances

if TYPE_CHECKING:
    from tritonpm.fleet.waves import Pace
    from tritonpm.operations.context import Context
    from tritonpm.operations.serving import Serving

_MIB = 1 << 20


@dataclass(frozen=True)
class PackagePlan:
    """Where a package shall be, and what is to be done for it; `missing` is how many servers have no room for it."""

    package: str
    memory_mb: int
    how: str  # measured, or estimated from what
    servers: tuple[str, ...]
    load: tuple[str, ...]
    unload: tuple[str, ...]
    missing: int


@dataclass(frozen=True)
class ServerPlan:
    """What a server shall hold, in MiB and in packages."""

    name: str
    memory_mb: int
    taken_mb: int
    packages: int


@dataclass(frozen=True)
class Plan:
    """A placement of a context's packages."""

    context: str
    packages: tuple[PackagePlan, ...]
    servers: tuple[ServerPlan, ...]


class Placing:
    """The placements of a context."""

    def __init__(self, serving: Serving, fleet: str, pace: Pace) -> None:
        self.fleet, self.rolling = Fleet(serving, fleet), Rolling(serving, fleet, pace)
        self.context = serving.manager

    def plan(
        self, names: Sequence[str] = (), *, replicas: int = 1, spread: str = "", apart: Iterable[Sequence[str]] = ()
    ) -> Plan:
        """Where the named packages shall be, or all, beside those that are placed. Raises UsageError, NotFoundError."""
        fleet = self.fleet.context
        unknown = [server.name for server in fleet.servers if not server.memory_mb]
        if unknown:
            do = f"`tritonpm context add {fleet.name} --url URL --memory-mb N`"
            raise UsageError(f"nobody said what models may take on {', '.join(unknown)}", do=do)
        wanted = names or [entry.name for entry in self.context.catalogue.packages()]
        present = {name: [server.name for server in fleet.on(name)] for name in fleet.placed}
        counts = {**{name: len(where) for name, where in present.items()}, **dict.fromkeys(wanted, replicas)}
        known = {name: memory_of(self.context, name) for name in counts}
        needs = [Need(name, known[name][0], count) for name, count in counts.items()]
        rooms = [Room(server.name, server.memory_mb, server.labels) for server in fleet.servers]
        found = place(needs, rooms, present=present, apart=apart, spread=spread)
        packages = tuple(_of_package(name, known[name], found, present.get(name, [])) for name in sorted(counts))
        return Plan(fleet.name, packages, tuple(_of_server(room, packages) for room in rooms))

    def applied(self, plan: Plan) -> Iterator[str]:
        """Load and unload as planned: what was done. Raises CapacityError before anything is done; ServerError."""
        if missing := [each.package for each in plan.packages if each.missing]:
            what = f"no server has room for {', '.join(missing)}"
            raise CapacityError(what, where=plan.context, do="add a server, or ask for fewer --replicas")
        for each in plan.packages:
            if each.load:
                self.rolling.load(each.package, each.load)
                yield f"Loaded {each.package} on {', '.join(each.load)}."
        for each in plan.packages:
            if each.unload:
                self.fleet.unload(each.package, each.unload)
                yield f"Unloaded {each.package} from {', '.join(each.unload)}."


def memory_of(context: Context, name: str) -> tuple[int, str]:
    """MiB that a package takes on a server, and how that is known. Raises NotFoundError, NotOptimisedError."""
    record, revision = context.catalogue.get(name), wanted_revision(context, name)
    stages = [record.settings.for_stage(stage.name) for stage in record.package.stages]
    on_gpu = any(own.on_gpu for own in stages)
    devices = [gpu.name for gpu in target().gpus] if on_gpu else [HOST]
    sizes = [context.catalogue.artefacts.memory(revision.digest, device) for device in devices]
    measured = max((size for size in sizes if size is not None), default=None)
    count = sum(instances(own, target(), record.package) for own in stages)
    weights = sum(file.size for file in record.package.files) // len(stages)
    found = need(weights, count if on_gpu or measured is None else 1, measured=measured)  # a host's is of them all
    return -(-found.bytes // _MIB), found.how


def _of_package(name: str, known: tuple[int, str], found: Placement, present: Sequence[str]) -> PackagePlan:
    servers = found.placed[name]
    return PackagePlan(
        name, *known, servers,
        tuple(each for each in servers if each not in present), tuple(each for each in present if each not in servers),
        found.missing.get(name, 0),
    )  # fmt: skip


def _of_server(room: Room, packages: Iterable[PackagePlan]) -> ServerPlan:
    there = [each for each in packages if room.name in each.servers]
    return ServerPlan(room.name, room.memory, sum(each.memory_mb for each in there), len(there))
