"""Whether a GPU has room: what a package needs was measured where it ran before, else estimated; NVML says the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tritonpm.core.errors import CapacityError
from tritonpm.core.types import Gpu
from tritonpm.core.units import MIB, human

DEFAULT_WORKSPACE = 256 * MIB  # of a runtime that nothing is known of: its context and scratch memory


@dataclass(frozen=True)
class Need:
    """Bytes on each GPU, and how they are known."""

    bytes: int
    how: str


def need(weights: int, instances: int, *, workspace: int = DEFAULT_WORKSPACE, measured: int | None = None) -> Need:
    """`measured` is what one instance took on this device before; without it each has its weights and a workspace."""
    if measured is not None:
        return Need(measured * instances, f"measured: {human(measured)} for each of {instances}")
    instance = weights + workspace
    return Need(instance * instances, f"estimated: {instances} × ({human(weights)} of weights and {human(workspace)})")


def require_room(wanted: Need, gpus: Sequence[Gpu], residents: Mapping[str, Mapping[int, int]], *, where: str) -> None:
    """Raise CapacityError where one of the GPUs that it shall run on has too little free memory.

    `residents` are the loaded packages with the bytes that each holds on each GPU: the sentence names what to unload.
    """
    for gpu in gpus:
        if wanted.bytes <= gpu.memory_free:
            continue
        go = evictable(
            wanted.bytes - gpu.memory_free, {name: held.get(gpu.index, 0) for name, held in residents.items()}
        )
        do = f"unload {' and '.join(go)}" if go else "use another GPU, fewer instances or a smaller batch"
        raise CapacityError(
            f"it needs {human(wanted.bytes)} on GPU {gpu.index} ({wanted.how}), and {human(gpu.memory_free)} are free",
            where=where,
            do=do,
        )


def evictable(missing: int, held: Mapping[str, int]) -> list[str]:
    """The fewest packages that make room, the largest first; [] where all of them together do not."""
    ordered = sorted((name for name, size in held.items() if size > 0), key=lambda name: (-held[name], name))
    single = [name for name in reversed(ordered) if held[name] >= missing]
    if single:
        return [single[0]]  # the smallest that is enough
    chosen: list[str] = []
    for name in ordered:
        chosen.append(name)
        if sum(held[name] for name in chosen) >= missing:
            return chosen
    return []
