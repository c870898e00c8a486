"""A request in a file: an .npz of tensors by name, or JSON: KServe v2's, or nested lists by tensor name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.core.errors import NotFoundError, PackageError
from tritonpm.core.tensors import MOST_BYTES, Array, load_npz, numpy_dtype
from tritonpm.core.types import Signature, Tensor
from tritonpm.core.units import human

_DO = 'write {"inputs": [{"name", "shape", "datatype", "data"}]}, or {"NAME": nested lists}'


def request_in(path: Path, signature: Signature) -> dict[str, Array]:
    """The arrays of a file by name, of the types that the model takes. Raises NotFoundError, PackageError."""
    if not path.is_file():
        raise NotFoundError("there is no such file", where=str(path), do="name an .npz or a .json of input tensors")
    known = {tensor.name: tensor for tensor in signature.inputs}
    if path.suffix.lower() != ".json":
        arrays = load_npz(path)
        for name in arrays:
            _require_known(path, name, known)
        return arrays
    return {name: _array(path, known[name], data, shape) for name, data, shape in _tensors(path, known)}


def _tensors(path: Path, known: Mapping[str, Tensor]) -> Iterator[tuple[str, Any, tuple[int, ...] | None]]:
    """Name, values and shape of each tensor; None: the values are nested as it is. Raises PackageError."""
    document = _document(path)
    if isinstance(document, list) and len(known) == 1:
        yield next(iter(known)), document, None
        return
    if not isinstance(document, dict):
        raise PackageError("is not an object of tensors by name", where=str(path), do=_DO)
    if isinstance(document.get("inputs"), list) and "inputs" not in known:
        listed = map(_object, document["inputs"])
        given = [(str(one.get("name")), one.get("data"), one.get("shape")) for one in listed]
    else:
        given = [(name, data, None) for name, data in document.items()]
    for name, data, shape in given:
        _require_known(path, name, known)
        yield name, data, None if shape is None else _sizes(path, name, shape)


def _require_known(path: Path, name: str, known: Mapping[str, Tensor]) -> None:
    if name not in known:
        do = f"its inputs are {', '.join(known)}"
        raise PackageError(f"there is no input {name!r}", where=str(path), do=do)


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PackageError(f"is longer than {human(MOST_BYTES)}", where=str(path), do="split it")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(f"is not readable JSON ({str(error)[:200]})", where=str(path), do=_DO) from None


def _object(one: Any) -> dict[str, Any]:
    return one if isinstance(one, dict) else {}


def _sizes(path: Path, name: str, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, list) and all(isinstance(side, int) and side >= 0 for side in shape):
        return tuple(shape)
    raise PackageError(f"gives {name!r} a shape that is not a list of sizes", where=str(path), do=_DO)


def _array(path: Path, tensor: Tensor, data: Any, shape: tuple[int, ...] | None) -> Array:
    """Values as the tensor's type, which holds all of them. Raises PackageError."""
    kind = numpy_dtype(tensor.dtype)
    try:
        if kind.kind == "O":
            texts = np.array(data, dtype=np.object_)
            array = np.array([_bytes(one) for one in texts.ravel()], np.object_).reshape(texts.shape)
        else:
            array = _numbers(np.array(data), kind)
        return array if shape is None else array.reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        what = f"its values of {tensor.name!r} are not {tensor.dtype} ({' '.join(str(error).split())[:200]})"
        raise PackageError(what, where=str(path), do=_DO) from None


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value.encode()


def _numbers(given: Array, kind: np.dtype[Any]) -> Array:
    """Numbers of a type. Raises ValueError where the type does not hold one of them."""
    if given.dtype.kind not in "biuf" or (kind.kind == "b") != (given.dtype.kind == "b" or not given.size):
        raise ValueError(f"{given.dtype.name} values are among them")
    if kind.kind in "iu" and given.size:
        bounds = np.iinfo(kind)
        if given.dtype.kind == "f" or int(given.min()) < bounds.min or int(given.max()) > bounds.max:
            raise ValueError("one of them does not fit that type")
    return given.astype(kind)
