"""What a batch takes: the bytes of its tensors, which are known before it runs, and what the package takes now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tritonpm.core.tensors import numpy_dtype
from tritonpm.core.types import Package, Tensor
from tritonpm.operations.monitor.figures import memory
from tritonpm.operations.monitor.snapshot import Snapshot


@dataclass(frozen=True)
class BatchMemory:
    """`row`: bytes of the tensors of one row, None where a size is open; `taken`: what the package takes now, bytes.

    What a model needs beside its tensors nobody tells before it runs; while it runs only what has a process of its own
    is told apart.
    """

    row: int | None
    taken: int | None


def batch_memory(package: Package, snapshots: Sequence[Snapshot]) -> BatchMemory:
    """Of a package, with the last snapshot of what runs."""
    sizes = [_row(tensor) for stage in package.stages for tensor in (*stage.signature.inputs, *stage.signature.outputs)]
    row = None if None in sizes else sum(size for size in sizes if size is not None)
    return BatchMemory(row, taken(snapshots).get(package.name))


def taken(snapshots: Sequence[Snapshot]) -> dict[str, int]:
    """Bytes that each package takes now, as far as that is told apart."""
    return {
        load.name: memory(load.usage) + (load.usage.gpu_memory or 0)
        for snapshot in snapshots[-1:]
        for load in snapshot.packages
        if load.usage is not None
    }


def _row(tensor: Tensor) -> int | None:
    """Of a tensor without its batch axis."""
    if tensor.shape is None or tensor.dtype in ("BYTES", "BF16"):
        return None
    sizes = [size for size in tensor.shape if size != "batch"]
    if not all(isinstance(size, int) and size >= 0 for size in sizes):
        return None
    return math.prod(int(size) for size in sizes) * numpy_dtype(tensor.dtype).itemsize
