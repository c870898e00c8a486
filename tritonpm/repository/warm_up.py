"""ModelWarmup: the runs that a model makes before its first request, within bounds.

Triton allocates what a sample holds in the server itself, so neither ours nor an adopted config's may be large.
"""

from __future__ import annotations

import math
from typing import Any

from tritonpm.core.errors import RenderError
from tritonpm.core.tensors import numpy_dtype
from tritonpm.core.types import BatchAxis, Tensor, dims
from tritonpm.core.units import MIB, human
from tritonpm.settings.settings import Settings

BYTES = 256 * MIB  # of all that one run is given
RUNS = 1000  # of one model, each row counted

_MOST_ROWS = 128  # of a warm-up


def warm_up(config: Any, settings: Settings, inputs: tuple[Tensor, ...], axis: BatchAxis, notes: list[str]) -> None:
    """One run at batch 1 and one at the full batch, where zeros are plausible: floating point of fixed size, no knobs.

    A model that refuses its warm-up does not load at all, so an input of rank 0 or 1 without a batch axis (a ratio,
    scales), for which zero may be no value, means none.
    """
    own_axis = config.max_batch_size == 0 and axis.kind != "none"
    shapes = [
        tensor.shape[1:] if axis.kind != "none" else tensor.shape for tensor in inputs if tensor.shape is not None
    ]
    plausible = all(t.dtype in ("FP16", "FP32", "FP64") for t in inputs)
    knobs = axis.kind == "none" and any(len(shape) < 2 for shape in shapes)
    if not plausible or knobs or any(-1 in dims(shape) for shape in shapes):
        notes.append("no warm-up: it needs inputs of floating point and fixed size, not single numbers or lists")
        return
    batches = sorted({1, min(max(1, settings.max_batch_size), _MOST_ROWS)}) if axis.kind != "none" else [1]
    row = sum(_bytes(dims(shape), tensor.dtype) for shape, tensor in zip(shapes, inputs, strict=True))
    if row * batches[-1] > BYTES:
        notes.append(f"no warm-up: a run would be given {human(row * batches[-1])}, more than {human(BYTES)}")
        return
    for batch in batches:
        sample = config.model_warmup.add(name=f"batch_{batch}", batch_size=batch if config.max_batch_size else 1)
        for entry in config.input:
            value = sample.inputs[entry.name]
            value.data_type, value.zero_data = entry.data_type, True  # random_data is random bytes: NaN, huge
            value.dims.extend((batch, *entry.dims[1:]) if own_axis else entry.dims)


def adopt_warm_up(config: Any, notes: list[str]) -> None:
    """Hold the warm-up that a config came with to the same bounds. Raises RenderError.

    Our backends try each sample before Triton runs it. A model that is Python code runs it untried, and where it fails
    Triton often ends with SIGSEGV: there it is left out.
    """
    if config.model_warmup and config.backend == "python":
        config.ClearField("model_warmup")
        notes.append("no warm-up: where one fails in a Python model, the whole server may end")
    runs = 0
    for sample in config.model_warmup:
        rows = max(1, sample.batch_size)
        runs += rows * max(1, sample.count)
        size = rows * sum(_bytes(tuple(value.dims), _dtype(value)) for value in sample.inputs.values())
        if size > BYTES:
            _refuse(f"its warm-up {sample.name!r} is given {human(size)}, more than {human(BYTES)}", config.name)
    if runs > RUNS:
        _refuse(f"its warm-up runs {runs} rows, more than {RUNS}", config.name)


def _refuse(what: str, where: str) -> None:
    raise RenderError(what, where=where, do="make it smaller, or leave it out with --no-warmup")


def _dtype(value: Any) -> str:
    from tritonclient.grpc import model_config_pb2

    name = str(model_config_pb2.DataType.Name(value.data_type)).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def _bytes(sizes: tuple[int, ...], dtype: str) -> int:
    """How much so many elements take; a text is counted as the pointer to it."""
    if any(size < 0 for size in sizes):
        return 0  # Triton refuses it itself
    return math.prod(sizes) * (numpy_dtype(dtype).itemsize if dtype != "INVALID" else 1)
