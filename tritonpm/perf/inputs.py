"""The JSON of inputs that perf_analyzer sends: any dtype, dynamic shapes and texts, exactly as the samples have them.

Source: perf_analyzer's documentation of its input data. Values go as base64 of Triton's binary form, which is exact for
every dtype; "shape" has no batch axis where Triton batches, since perf_analyzer puts rows together itself.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.core.errors import PackageError
from tritonpm.core.tensors import Array, as_served, numpy_dtype
from tritonpm.core.types import Signature
from tritonpm.core.units import MIB

_MOST_BYTES, _MOST_ROWS = 64 * MIB, 256  # of inputs that are sent in turn
Row = dict[str, Array]


@dataclass(frozen=True)
class Inputs:
    """What is sent in turn, where it is from, and who puts rows together into a batch.

    `batching` is triton (perf_analyzer sends batches, as the config allows), model (its batch axis is one of its dims,
    unknown to Triton and to perf_analyzer: whole batches are handed over), or none (each is a request of its own).
    """

    rows: tuple[Row, ...]
    batching: str
    source: str = ""

    def request(self, batch: int) -> Row:
        """One request's arrays."""
        if self.batching == "none":
            return self.rows[0]
        return _stacked([self.rows[i % len(self.rows)] for i in range(batch)])

    def entries(self, batch: int) -> list[Row]:
        """What goes into perf_analyzer's file."""
        if self.batching != "model":
            return list(self.rows)
        count = len(self.rows)
        starts = range(0, count, batch)
        return [_stacked([self.rows[(start + i) % count] for i in range(batch)]) for start in starts]

    def counted(self, batch: int) -> int:
        """The batch as perf_analyzer and Triton count it."""
        return batch if self.batching == "triton" else 1


def batching(config: Mapping[str, Any], signature: Signature, *, axis: bool) -> str:
    """Who batches a model as it is loaded; `axis` is whether its package's stages have a batch axis."""
    if config.get("max_batch_size"):
        return "triton"
    free = all(tensor.shape and not isinstance(tensor.shape[0], int) for tensor in signature.inputs)
    return "model" if axis and free else "none"


def inputs(
    samples: Sequence[Mapping[str, Array]], signature: Signature, batching: str, *, batch: int = 1, source: str = ""
) -> Inputs:
    """What is sent, from samples: their rows where something batches, else whole samples. Raises PackageError.

    Rows that go into one request must have one shape: with a `batch` above 1 the most frequent one is kept.
    """
    dtypes = {tensor.name: numpy_dtype(tensor.dtype) for tensor in signature.inputs}
    rows: list[Row] = []
    for sample in samples:
        served = as_served(sample, signature.inputs)
        cast = {name: array.astype(dtypes.get(name, array.dtype), copy=False) for name, array in served.items()}
        rows += [cast] if batching == "none" else _split(cast)
    if batch > 1 and rows:
        usual = Counter(map(_shapes, rows)).most_common(1)[0][0]
        rows = [row for row in rows if _shapes(row) == usual]
    return Inputs(tuple(_bounded(rows)), batching, source)


def write(path: Path, entries: Sequence[Row]) -> None:
    """Write perf_analyzer's JSON."""
    import msgspec

    data = [
        {name: {"b64": _encoded(array), "shape": list(array.shape)} for name, array in row.items()} for row in entries
    ]
    path.write_bytes(msgspec.json.encode({"data": data}))


def size(array: Array) -> int:
    """Bytes of an array as Triton takes or gives it."""
    return len(_raw(array)) if array.dtype == np.object_ else array.nbytes


def _split(sample: Row) -> list[Row]:
    lengths = {len(array) for array in sample.values()}
    if len(lengths) > 1:
        raise PackageError(f"a sample's inputs have {sorted(lengths)} rows", do="give all its inputs the same number")
    return [{name: array[i] for name, array in sample.items()} for i in range(lengths.pop() if lengths else 0)]


def _stacked(rows: Sequence[Row]) -> Row:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _shapes(row: Row) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape) for name, array in sorted(row.items()))


def _bounded(rows: list[Row]) -> list[Row]:
    kept: list[Row] = []
    total = 0
    for row in rows:
        total += sum(size(array) for array in row.values())
        if kept and (total > _MOST_BYTES or len(kept) == _MOST_ROWS):
            break
        kept.append(row)
    return kept


def _raw(array: Array) -> bytes:
    if array.dtype != np.object_:
        return np.ascontiguousarray(array).tobytes()
    texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _encoded(array: Array) -> str:
    return base64.b64encode(_raw(array)).decode("ascii")
