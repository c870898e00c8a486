"""Before a GPU is loaded: is there room? After it was: what did it take? (see `hardware.memory`)"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tritonpm.core.units import MIB
from tritonpm.hardware.machine import gpus, target
from tritonpm.hardware.memory import DEFAULT_WORKSPACE, need, require_room
from tritonpm.repository.config import instances

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Gpu, Revision
    from tritonpm.operations.context import Context


@contextmanager
def room_for(context: Context, record: Record, revision: Revision) -> Iterator[None]:
    """Refuse what does not fit on its GPUs, and remember what it took. Raises CapacityError."""
    chosen, count = _chosen(record, gpus()[0]), _instances(record)
    require_room_on_gpus(context, record, revision)
    yield
    for before, after in zip(chosen, _chosen(record, gpus()[0]), strict=False):
        if (taken := before.memory_free - after.memory_free) > 0:
            context.catalogue.artefacts.put_memory(revision.digest, before.name, taken // count)


def require_room_on_gpus(context: Context, record: Record, revision: Revision) -> None:
    """Refuse what does not fit on its GPUs; nothing to do for what runs on the CPU. Raises CapacityError."""
    chosen = _chosen(record, gpus()[0])
    if not chosen:
        return
    name, count = record.package.name, _instances(record)
    weights = sum(file.size for file in record.package.files)
    workspace = (record.settings.workspace_mb or 0) * MIB or DEFAULT_WORKSPACE
    known = [context.catalogue.artefacts.memory(revision.digest, gpu.name) for gpu in chosen]
    measured = max((size for size in known if size is not None), default=None)
    others = {other: held for other, held in _residents(context).items() if other != name}
    require_room(need(weights, count, workspace=workspace, measured=measured), chosen, others, where=name)


def require_room_to_build(context: Context, record: Record) -> None:
    """Refuse a build that does not fit: TensorRT tries kernels on the GPU itself. Raises CapacityError."""
    chosen = _chosen(record, gpus()[0])
    weights = sum(file.size for file in record.package.files)
    workspace = (record.settings.workspace_mb or 0) * MIB or DEFAULT_WORKSPACE
    require_room(need(weights, 1, workspace=workspace), chosen, _residents(context), where=record.package.name)


def _chosen(record: Record, here: tuple[Gpu, ...]) -> list[Gpu]:
    stages = [record.settings.for_stage(stage.name) for stage in record.package.stages]
    wanted = [own for own in stages if own.on_gpu]
    listed = {index for own in wanted for index in own.gpus}
    return [gpu for gpu in here if wanted and (not listed or gpu.index in listed)]


def _instances(record: Record) -> int:
    """On each GPU: an instance group with several GPUs has its count on each of them."""
    stages = [record.settings.for_stage(stage.name) for stage in record.package.stages]
    here = target()
    return max(instances(own, here, record.package) for own in stages)


def _residents(context: Context) -> dict[str, dict[int, int]]:
    """What each loaded package was measured to hold on each GPU."""
    held: dict[str, dict[int, int]] = {}
    for entry in context.catalogue.packages():
        revision = context.catalogue.revision(entry.name) if entry.status == "loaded" else None
        record = context.catalogue.get(entry.name) if revision else None
        if revision is None or record is None:
            continue
        for gpu in _chosen(record, gpus()[0]):
            size = context.catalogue.artefacts.memory(revision.digest, gpu.name) or 0
            held.setdefault(entry.name, {})[gpu.index] = size * _instances(record)
    return held
