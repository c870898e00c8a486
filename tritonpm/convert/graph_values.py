"""What an ONNX graph itself knows of its inputs: the values that it compares them with, and the texts of its tables.

A proof that never comes near them never sees the other side of a condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.core.types import Format

_FEW = 16  # elements of a constant that is a threshold or a divisor, and no weight
_MOST = 256  # values of a kind that are worth keeping
_COMPARING = {
    "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Clip", "Mod", "Div", "Max", "Min", "ThresholdedRelu",
    "Sub", "Add", "Not", "Where", "Range", "CastLike",
}  # fmt: skip
_MISSING = {"IsNaN", "IsInf", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "Imputer"}


@dataclass(frozen=True)
class GraphValues:
    """Numbers near which the model's answer changes, texts that it knows; `missing`: it asks for NaN."""

    numbers: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    missing: bool = False


def graph_values(format: Format, model: Path) -> GraphValues:
    """Of a model file; nothing where it is not ONNX, or cannot be read."""
    if format is not Format.ONNX:
        return GraphValues()
    import onnx

    try:
        proto = onnx.load(model, load_external_data=False)
    except Exception:  # whoever runs it says what is wrong with it
        return GraphValues()
    numbers: dict[float, None] = {}
    texts: dict[str, None] = {}
    nodes = list(_nodes(proto.graph))
    constants = _constants(proto.graph, nodes)
    for node in nodes:
        if node.op_type in _COMPARING:
            for name in node.input:
                numbers.update(dict.fromkeys(constants.get(name, ())))
        for attribute in node.attribute:
            if attribute.strings:
                texts.update(dict.fromkeys(text.decode(errors="replace") for text in attribute.strings))
            if node.domain == "ai.onnx.ml" and (attribute.ints or attribute.floats) and "value" in attribute.name + "s":
                numbers.update(dict.fromkeys(float(value) for value in (*attribute.ints, *attribute.floats)))
            if attribute.name in ("keys_int64s", "cats_int64s", "pool_int64s", "alpha"):
                numbers.update(dict.fromkeys(float(value) for value in (*attribute.ints, attribute.f)))
    missing = any(node.op_type in _MISSING for node in nodes)
    kept = [value for value in numbers if np.isfinite(value)]
    return GraphValues(tuple(_spread(kept)), tuple(list(texts)[:_MOST]), missing)


def _spread(values: list[float]) -> list[float]:
    return values if len(values) <= _MOST else values[:: -(-len(values) // _MOST)]


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g,) if attribute.HasField("g") else tuple(attribute.graphs):
                yield from _nodes(inner)


def _constants(graph: Any, nodes: list[Any]) -> dict[str, tuple[float, ...]]:
    """Small constants by name, those of inner graphs too."""
    from onnx import numpy_helper

    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                tensors.append((node.output[0], attribute.t))
            if attribute.HasField("g"):
                tensors += [(tensor.name, tensor) for tensor in attribute.g.initializer]
    small: dict[str, tuple[float, ...]] = {}
    for name, tensor in tensors:
        if int(np.prod(tensor.dims)) > _FEW or (tensor.HasField("data_location") and tensor.data_location == 1):
            continue
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind in "fiu":
            small[name] = tuple(float(value) for value in array.ravel())
    return small
