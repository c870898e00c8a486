"""ONNX's own backend tests as data: a model, its inputs, the expected outputs. Everything lies in the onnx wheel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, TypeProto, numpy_helper

DATA = Path(onnx.__file__).parent / "backend/test/data"
FOLDERS = ("simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Case:
    """One test: `sets` are pairs of inputs and expected outputs, by tensor name."""

    name: str
    model: ModelProto
    sets: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    rtol: float
    atol: float


class NotTensorsError(Exception):
    """An input or output is a sequence, optional or map, which no inference protocol carries."""


def names() -> list[str]:
    """Every case's name, in order: light/…, simple/…, …, node/…"""
    light = [f"light/{path.stem}" for path in sorted((DATA / "light").glob("*.onnx"))]
    stored = [f"{folder}/{path.name}" for folder in FOLDERS for path in sorted((DATA / folder).iterdir())]
    return [*light, *stored, *(f"node/{name}" for name in sorted(_operators()))]


def load(name: str) -> Case:
    """The case of that name. Raises NotTensorsError."""
    kind, _, rest = name.partition("/")
    if kind == "node":
        found = _operators()[rest]
        model, sets, rtol, atol = found.model, found.data_sets, found.rtol, found.atol
        _require_tensors(model)
    else:
        rtol, atol = 1e-3, 1e-5
        model = onnx.load(DATA / (f"{name}.onnx" if kind == "light" else f"{name}/model.onnx"))
        _require_tensors(model)
        sets = list(_light(name, model) if kind == "light" else _stored(DATA / name))
    inputs, outputs = _inputs(model), [value.name for value in model.graph.output]
    return Case(
        name,
        model,
        tuple((_named(inputs, given), _named(outputs, want)) for given, want in sets),
        rtol,
        atol,
    )


def _named(names: list[str], values: Sequence[Any]) -> dict[str, Any]:
    """Values by name: numpy's scalars and ONNX's own tensors as arrays."""
    arrays = [numpy_helper.to_array(v) if isinstance(v, TensorProto) else np.asarray(v) for v in values]
    return dict(zip(names, arrays, strict=True))


@cache
def _operators() -> dict[str, Any]:
    from onnx.backend.test.loader import load_node_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_node_model_tests()}


def _inputs(model: ModelProto) -> list[str]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in weights]


def _require_tensors(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            raise NotTensorsError(f"{value.name!r} is a {(kind or 'value without a type').removesuffix('_type')}")


def _light(name: str, model: ModelProto) -> Iterator[tuple[list[Any], list[Any]]]:
    """The light networks' inputs are a ramp from 0 to 1, as ONNX's own runner makes them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    (given,) = (value.type for value in model.graph.input if value.name not in weights)
    shape = _shape(given)
    ramp = (np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32)
    yield [ramp], [_array(DATA / f"{name}_output_0.pb")]


def _shape(given: TypeProto) -> tuple[int, ...]:
    return tuple(dimension.dim_value for dimension in given.tensor_type.shape.dim)


def _stored(folder: Path) -> Iterator[tuple[list[Any], list[Any]]]:
    for each in sorted(folder.glob("test_data_set_*")):
        given, want = (
            [_array(each / f"{kind}_{index}.pb") for index in range(len(list(each.glob(f"{kind}_*.pb"))))]
            for kind in ("input", "output")
        )
        yield given, want


def _array(path: Path) -> Any:
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))
