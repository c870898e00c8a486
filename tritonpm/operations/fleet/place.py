"""`tritonpm fleet place`: which package goes on which server, from what packages take and what servers have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import CapacityError, UsageError
from tritonpm.core.units import MIB
from tritonpm.fleet.placement import PackageNeed, Placement, Room, place
from tritonpm.hardware.memory import need
from tritonpm.operations.fleet.contexts import contexts
from tritonpm.operations.fleet.roll_out import load
from tritonpm.operations.fleet.unload import unload
from tritonpm.operations.on_demand import HOST
from tritonpm.operations.render import wanted_revision
from tritonpm.repository.config import instances

if TYPE_CHECKING:
    from tritonpm.fleet.waves import Pace
    from tritonpm.operations.context import Context


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
class PlacementPlan:
    """A placement of a context's packages."""

    context: str
    packages: tuple[PackagePlan, ...]
    servers: tuple[ServerPlan, ...]


def plan(
    context: Context, fleet_name: str = "", names: Sequence[str] = (), *, replicas: int = 1, spread: str = "",
    apart: Iterable[Sequence[str]] = (),
) -> PlacementPlan:  # fmt: skip
    """Where the named packages shall be, or all, beside those that are placed. Raises UsageError, NotFoundError."""
    fleet = contexts(context).get(fleet_name)
    unknown = [server.name for server in fleet.servers if not server.memory_mb]
    if unknown:
        do = f"`tritonpm context add {fleet.name} --url URL --memory-mb N`"
        raise UsageError(f"it is not known how much memory models may use on {', '.join(unknown)}", do=do)
    wanted = names or [entry.name for entry in context.catalogue.packages()]
    present = {name: [server.name for server in fleet.on(name)] for name in fleet.placed}
    counts = {**{name: len(where) for name, where in present.items()}, **dict.fromkeys(wanted, replicas)}
    memory = {name: memory_of(context, name) for name in counts}
    needs = [PackageNeed(name, memory[name][0], count) for name, count in counts.items()]
    rooms = [Room(server.name, server.memory_mb, server.labels) for server in fleet.servers]
    placement = place(needs, rooms, present=present, apart=apart, spread=spread)
    packages = tuple(_of_package(name, memory[name], placement, present.get(name, [])) for name in sorted(counts))
    return PlacementPlan(fleet.name, packages, tuple(_of_server(room, packages) for room in rooms))


def apply(context: Context, plan: PlacementPlan, pace: Pace) -> Iterator[str]:
    """Load and unload as planned: what was done. Raises CapacityError before anything is done; ServerError."""
    if missing := [package.package for package in plan.packages if package.missing]:
        what = f"no server has room for {', '.join(missing)}"
        raise CapacityError(what, where=plan.context, do="add a server, or ask for fewer --replicas")
    for package in plan.packages:
        if package.load:
            load(context, plan.context, package.package, package.load, pace)
            yield f"Loaded {package.package} on {', '.join(package.load)}."
    for package in plan.packages:
        if package.unload:
            unload(context, plan.context, package.package, package.unload)
            yield f"Unloaded {package.package} from {', '.join(package.unload)}."


def memory_of(context: Context, name: str) -> tuple[int, str]:
    """MiB that a package takes on a server, and how that is known. Raises NotFoundError, NotOptimisedError."""
    record, revision = context.catalogue.get(name), wanted_revision(context, name)
    stages = [record.settings.for_stage(stage.name) for stage in record.package.stages]
    on_gpu = any(own.on_gpu for own in stages)
    devices = [gpu.name for gpu in context.target.gpus] if on_gpu else [HOST]
    sizes = [context.catalogue.artefacts.memory(revision.digest, device) for device in devices]
    measured = max((size for size in sizes if size is not None), default=None)
    count = sum(instances(own, context.target, record.package) for own in stages)
    weights = sum(file.size for file in record.package.files) // len(stages)
    of_all = need(weights, count if on_gpu or measured is None else 1, measured=measured)  # a host's is of them all
    return -(-of_all.bytes // MIB), of_all.how


def _of_package(name: str, memory: tuple[int, str], placement: Placement, present: Sequence[str]) -> PackagePlan:
    servers = placement.placed[name]
    return PackagePlan(
        name, *memory, servers,
        tuple(server for server in servers if server not in present),
        tuple(server for server in present if server not in servers),
        placement.missing.get(name, 0),
    )  # fmt: skip


def _of_server(room: Room, packages: Iterable[PackagePlan]) -> ServerPlan:
    there = [package for package in packages if room.name in package.servers]
    return ServerPlan(room.name, room.memory, sum(package.memory_mb for package in there), len(there))
