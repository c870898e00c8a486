"""The JSON of inputs that perf_analyzer sends: any dtype, dynamic shapes and texts, exactly as the samples have them.

Source: perf_analyzer's documentation of its input data. Values go as base64 of Triton's binary form, which is exact for
every dtype; "shape" has no batch axis where Triton batches, since perf_analyzer puts rows together itself.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tritonpm.data import Signature
from tritonpm.errors import PackageError
from tritonpm.tensors import Array, as_served, numpy_dtype

_MOST_BYTES, _MOST_ROWS = 64 << 20, 256  # of inputs that are sent in turn
Row = dict[str, Array]


def rows(samples: Iterable[Mapping[str, Array]], signature: Signature, *, batched: bool, batch: int = 1) -> list[Row]:
    """What one inference each gets, from samples: their rows where Triton batches, else whole samples.

    Rows that go into one request must have one shape: with a `batch` above 1 the most frequent one is kept.
    """
    dtypes = {tensor.name: numpy_dtype(tensor.dtype) for tensor in signature.inputs}
    found: list[Row] = []
    for sample in samples:
        served = as_served(sample, signature.inputs)
        cast = {name: array.astype(dtypes.get(name, array.dtype), copy=False) for name, array in served.items()}
        found += _split(cast) if batched else [cast]
    if batch > 1 and found:
        usual = Counter(map(_shapes, found)).most_common(1)[0][0]
        found = [row for row in found if _shapes(row) == usual]
    return _bounded(found)


def together(rows: Sequence[Row], batch: int, *, batched: bool) -> Row:
    """One request's arrays: `batch` rows, or the one sample where Triton does not batch."""
    if not batched:
        return rows[0]
    chosen = [rows[i % len(rows)] for i in range(batch)]
    return {name: np.stack([row[name] for row in chosen]) for name in chosen[0]}


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write perf_analyzer's JSON, an entry for each row."""
    import msgspec

    data = [{name: {"b64": _encoded(array), "shape": list(array.shape)} for name, array in row.items()} for row in rows]
    path.write_bytes(msgspec.json.encode({"data": data}))


def size(array: Array) -> int:
    """Bytes of an array as Triton takes or gives it."""
    return len(_raw(array)) if array.dtype == np.object_ else array.nbytes


def _split(sample: Row) -> list[Row]:
    lengths = {len(array) for array in sample.values()}
    if len(lengths) > 1:
        raise PackageError(f"a sample's inputs have {sorted(lengths)} rows", do="give every input of a sample as many")
    return [{name: array[i] for name, array in sample.items()} for i in range(lengths.pop() if lengths else 0)]


def _shapes(row: Row) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape) for name, array in sorted(row.items()))


def _bounded(found: list[Row]) -> list[Row]:
    kept: list[Row] = []
    total = 0
    for row in found:
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
