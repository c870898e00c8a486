"""Tensors as numpy arrays: dtypes, .npz files, plausible inputs, and the comparison of two answers.

BF16 is ml_dtypes.bfloat16 (as tritonclient has it since 26.06) and BYTES object arrays of bytes.
"""

from __future__ import annotations

import math
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tritonpm.core.errors import PackageError
from tritonpm.core.text import harmless
from tritonpm.core.types import Dim, Shape, Tensor, Values
from tritonpm.core.units import GIB, human

Array = NDArray[Any]

_NUMPY = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BF16": ml_dtypes.bfloat16, "BYTES": np.object_,
}  # fmt: skip
_TRITON = {np.dtype(kind): name for name, kind in _NUMPY.items()}
# numpy reads a header with Python's parser, whose depth counter threads upset before Python 3.11.5 (cpython#106905).
_ONE_PARSER = threading.Lock()
MOST_BYTES = GIB  # of all the arrays of one .npz
_MOST_ARRAYS = 10_000
_MOST_DIMENSIONS = 32  # numpy's own limit
_MOST_TEXTS = 1 << 20  # of one array: each becomes an object
_BLOCK = 1 << 20
_DYNAMIC_SIZE = 4  # what a dynamic dimension becomes in a synthesized input
SIZES = (_DYNAMIC_SIZE, 32, 224)  # what is worth a try
_MOST_ELEMENTS = 1 << 26  # of a guessed input


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy dtype that carries a Triton dtype. Raises KeyError for a name that is none."""
    return np.dtype(_NUMPY[dtype])


def triton_dtype(dtype: np.dtype[Any]) -> str:
    """The Triton dtype of an array; text of any kind is BYTES. Raises KeyError where Triton has none."""
    return "BYTES" if dtype.kind in "SUO" else _TRITON[np.dtype(dtype)]


def load_npz(path: Path, most: int = MOST_BYTES) -> dict[str, Array]:
    """The arrays of an .npz by name, text as object arrays of bytes; nothing is unpickled.

    It costs no more memory than the arrays that are there, which are `most` bytes in all.
    Raises PackageError where the file is none, holds objects, or would unpack to more.
    """
    too_many = PackageError(f"holds more than {_MOST_ARRAYS} arrays", where=str(path), do="split it")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS:
                raise too_many
            if sum(member.file_size for member in members) > most:
                raise PackageError(f"its arrays unpack to more than {human(most)}", where=str(path), do="split it")
            return {m.filename.removesuffix(".npy"): _from_file(_read(archive, m)) for m in members}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        reason = harmless(str(error)[:200]) or type(error).__name__
        raise PackageError(
            f"is not a readable .npz ({reason})", where=str(path), do="write it with numpy.savez"
        ) from None
    except MemoryError:
        raise PackageError("its arrays do not fit into memory", where=str(path), do="split it") from None


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """One array. Unlike numpy's own reader it allocates nothing that a header only promises. Raises ValueError."""
    with archive.open(member) as stream:
        shape, fortran, dtype = _header(stream, member.filename)
        if dtype.hasobject or dtype.names or dtype.subdtype:
            raise ValueError(f"{member.filename} holds objects, not numbers or text")
        if math.prod(shape) * dtype.itemsize != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} is not as long as its header says")
        if dtype.kind in "US" and math.prod(shape) > _MOST_TEXTS:
            raise ValueError(f"{member.filename} holds more than {_MOST_TEXTS} texts")
        array = np.empty(math.prod(shape), dtype)
        if array.size:
            _fill(array.view(np.uint8).data, stream, member.filename)
        return array.reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype. Raises ValueError."""
    version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"{name} has version {version} of the .npy format")
    try:
        with _ONE_PARSER:
            shape, fortran, dtype = readers[version](stream)  # type: ignore[no-untyped-call]
    except EOFError:
        raise
    except Exception as error:  # numpy has Python's parser read it, which raises anything, MemoryError for brackets too
        raise ValueError(f"{name} has a header that cannot be read ({type(error).__name__})") from None
    if len(shape) > _MOST_DIMENSIONS or any(size < 0 for size in shape) or not dtype.itemsize:
        raise ValueError(f"{name} has a shape or type that no tensor has")
    return shape, fortran, dtype


def _fill(target: memoryview, stream: IO[bytes], name: str) -> None:
    """Read what the target holds, and no more memory than is really there. Raises ValueError."""
    at = 0
    while at < len(target):
        block = stream.read(min(_BLOCK, len(target) - at))
        if not block:
            raise ValueError(f"{name} is cut off")
        target[at : at + len(block)] = block
        at += len(block)
    if stream.read(1):  # the zip's checksum is compared at its end only
        raise ValueError(f"{name} is longer than it says")


def save_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name; the same arrays give the same bytes. Raises PackageError for text that .npz cannot hold."""
    stored = {name: _to_file(name, np.asarray(arrays[name])) for name in sorted(arrays)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in stored.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)  # type: ignore[no-untyped-call]


def _from_file(array: Array) -> Array:
    if array.dtype == np.dtype("V2"):  # how numpy writes BF16, which is none of its own types
        return array.view(numpy_dtype("BF16"))
    if array.dtype.kind == "U":
        array = np.char.encode(array, "utf-8")
    return array.astype(np.object_) if array.dtype.kind == "S" else array


def _to_file(name: str, array: Array) -> Array:
    if array.dtype != np.object_:
        return array
    text = [value if isinstance(value, bytes) else str(value).encode() for value in array.ravel()]
    if any(value.endswith(b"\0") for value in text):
        raise PackageError(f"text of {name!r} ends in NUL, which .npz cannot hold", do="leave this tensor out")
    return np.array(text, dtype="S").reshape(array.shape)


def synthesize(
    tensors: Sequence[Tensor], *, batch: int | None = None, seed: int = 0, size: int = _DYNAMIC_SIZE,
    said: Mapping[str, Values] | None = None, digits: bool = False,
) -> dict[str, Array]:  # fmt: skip
    """Plausible inputs for the tensors that are not optional: FP in [0, 1), integers 0 or 1, short texts, or `digits`.

    What is `said` of an input's values holds instead.
    The first dimension is `batch` where that is given, and 1 where it is dynamic; any other dynamic dimension is
    `size`, and a dimension of the same name as the first one's follows it.
    """
    random = np.random.default_rng(seed)
    wanted = {t.name: t for t in tensors if not t.optional}
    shapes = sized(tensors, batch=batch, size=size)
    return {
        name: _filled(random, tensor.dtype, shapes[name], (said or {}).get(name), digits)
        for name, tensor in wanted.items()
    }


def sized(tensors: Sequence[Tensor], *, batch: int | None, size: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that are not optional, by name, as `synthesize` makes them."""
    wanted = [t for t in tensors if not t.optional]
    first = {t.shape[0]: batch or 1 for t in wanted if t.shape and t.shape[0] != "?"}
    return {t.name: _sized(t.shape or (), batch, first, size) for t in wanted}


def guesses(
    tensors: Sequence[Tensor], *, batch: int | None = None, seed: int = 0, said: Mapping[str, Values] | None = None
) -> Iterator[dict[str, Array]]:
    """Synthesized inputs, with ever larger dynamic dimensions: a model with convolutions refuses small ones.

    At last with texts that are numbers, for a model that takes no others.
    """
    texts = any(t.dtype == "BYTES" and not t.optional for t in tensors)
    for digits in (False, True) if texts else (False,):
        tried: list[int] = []
        for size in SIZES:
            elements = sum(math.prod(_sized(t.shape or (), batch, {}, size)) for t in tensors)
            if not tried or (elements not in tried and elements <= _MOST_ELEMENTS):
                tried.append(elements)
                yield synthesize(tensors, batch=batch, seed=seed, size=size, said=said, digits=digits)


def as_served(arrays: Mapping[str, Array], tensors: Sequence[Tensor]) -> dict[str, Array]:
    """Arrays in the shapes that Triton has for `tensors`.

    It has no empty dims: a model's scalar is [1] there, and one value a row, [n], is [n, 1].
    """
    single = {t.name: len(t.shape) for t in tensors if t.shape and len(t.shape) <= 2 and t.shape[-1] == 1}
    return {
        name: array[..., np.newaxis] if array.ndim + 1 == single.get(name) else array for name, array in arrays.items()
    }


def _sized(shape: Shape, batch: int | None, named: Mapping[Dim, int], size: int) -> tuple[int, ...]:
    sized = [d if isinstance(d, int) else named.get(d, size) for d in shape]
    if sized and (batch is not None or not isinstance(shape[0], int)):
        sized[0] = batch or 1
    return tuple(sized)


def between(random: np.random.Generator, dtype: str, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Numbers of a range, both ends included."""
    kind = numpy_dtype(dtype)
    if kind.kind in "iu":
        return np.asarray(random.integers(int(low), int(high), shape, kind, endpoint=True))
    return np.asarray(low + (high - low) * random.random(shape)).astype(kind)


def _filled(
    random: np.random.Generator, dtype: str, shape: tuple[int, ...], said: Values | None, digits: bool
) -> Array:
    kind = numpy_dtype(dtype)
    if said and said.low is not None and said.high is not None and kind.kind in "iufV":
        return between(random, dtype, shape, said.low, said.high)
    if said and said.texts and kind.kind == "O":
        words = np.array([word.encode() for word in said.texts], dtype=np.object_)
        return np.asarray(random.choice(words, shape), dtype=np.object_)
    if kind.kind in "fV":
        return np.asarray(random.random(shape)).astype(kind)
    if kind.kind == "O":
        text = b"%d" if digits else b"text %d"
        texts = [text % number for number in random.integers(0, 1 << 30, int(np.prod(shape)))]
        return np.array(texts, dtype=np.object_).reshape(shape)
    return np.asarray(random.integers(0, 2, shape), dtype=kind)


def compare(expected: Mapping[str, Array], actual: Mapping[str, Array], *, rtol: float, atol: float | Array) -> str:
    """ "" where every expected tensor is there and equal within |a-b| <= atol + rtol*|expected|, else one sentence."""
    for name, want in expected.items():
        if name not in actual:
            return f"output {name!r} is missing"
        got = np.asarray(actual[name])
        want = np.asarray(want)
        if triton_dtype(got.dtype) != triton_dtype(want.dtype):
            return f"output {name!r} is {triton_dtype(got.dtype)}, expected {triton_dtype(want.dtype)}"
        if got.shape != want.shape:
            return f"output {name!r} has shape {list(got.shape)}, expected {list(want.shape)}"
        if difference := _difference(name, want, got, rtol, atol):
            return difference
    return ""


def _difference(name: str, want: Array, got: Array, rtol: float, atol: float | Array) -> str:
    if want.dtype.kind in "fV":
        close = np.isclose(got.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)  # type: ignore[arg-type]
        equal = np.asarray(close)
    else:
        equal = np.asarray(got == want)
    if equal.all():
        return ""
    place = tuple(int(i) for i in np.argwhere(~equal)[0]) if equal.ndim else ()
    where = f"{name!r} at {list(place)}" if place else repr(name)
    return f"output {where} is {got[place]!s}, expected {want[place]!s} ({int((~equal).sum())} of {equal.size} differ)"
