"""How much of anything is read before it is refused; hostile input costs no more than this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import UnsafeError
from tritonpm.core.units import GIB, MIB

if TYPE_CHECKING:
    from tritonpm.core.types import Package


@dataclass(frozen=True)
class Limits:
    """Bounds on what is handed in. Sizes in bytes; every one can be raised by the caller."""

    total: int = 256 * GIB  # of all files, unpacked
    ratio: int = 200  # unpacked to packed, once more than `ratio_floor` is unpacked
    ratio_floor: int = 256 * MIB
    entries: int = 10_000  # files and folders
    path: int = 512  # of one path, as UTF-8
    component: int = 240  # of one path component, as UTF-8
    depth: int = 16  # folders above a file
    manifest: int = 4 * MIB  # package.yaml
    nesting: int = 16  # of lists and mappings in package.yaml
    config: int = 1 * MIB  # config.pbtxt
    labels: int = 4 * MIB  # a labels file
    graph: int = 64 * MIB  # of a model without its weights
    tensors: int = 2000  # inputs and outputs of a model
    rank: int = 32  # dimensions of a tensor: numpy, and with it Triton's Python clients, know no more
    graph_parts: int = 30_000_000  # protobuf fields walked over: minutes, not hours


def require_bounded(package: Package, limits: Limits) -> None:
    """Raise UnsafeError where a stage has more tensors, or one of more dimensions, than anything serves."""
    for stage in package.stages:
        tensors = (*stage.signature.inputs, *stage.signature.outputs)
        where = f"{package.name}: stage {stage.name}"
        if len(tensors) > limits.tensors:
            raise UnsafeError(f"has {len(tensors)} inputs and outputs, more than {limits.tensors}", where=where,
                              do="join some of them")  # fmt: skip
        for tensor in tensors:
            rank = len(tensor.shape or ())
            if rank > limits.rank:
                raise UnsafeError(
                    f"its tensor {tensor.name[:80]!r} has {rank} dimensions, more than {limits.rank}",
                    where=where,
                    do="export it with fewer",
                )
