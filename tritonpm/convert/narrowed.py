"""What OpenVINO's CPU plugin computes otherwise than ONNX says, asked of the graph.

It computes 64-bit integers in 32 bits, FP64 in FP32, and lets a cast of a float to an integer saturate. Numbers that
only index a table are not touched by it; nor are shapes, which are small.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tritonpm.core.types import Format, Values

_WIDE = {7: "INT64", 13: "UINT64", 11: "FP64", 12: "UINT32"}  # of onnx.TensorProto.DataType
_FLOATS = {1, 10, 11, 16}
_INTEGERS = {2, 3, 4, 5, 6, 7, 12, 13}
_SMALL = float(1 << 31)
# Operators that compute nothing with these values.
_MOVES = {
    "Identity", "Reshape", "Transpose", "Gather", "GatherElements", "GatherND", "Concat", "Slice", "Squeeze",
    "Unsqueeze", "Split", "Expand", "Tile", "Flatten", "Pad", "Shape", "Size", "Dropout", "DepthToSpace",
    "SpaceToDepth", "If", "Loop", "Scan",
}  # fmt: skip
_OF_SHAPES = {"Shape", "Size"}  # what comes out of them are no values of the input
_INDEXES = {"ArgMax", "ArgMin", "NonZero", "TopK"}  # INT64 that is small, however large what goes in
_HOW = "OpenVINO computes it in 32 bits"


def narrowed(format: Format, model: Path, said: dict[str, Values] | None = None) -> str:
    """Why OpenVINO would answer otherwise than the model, in one sentence; "" where the graph gives no reason.

    `said` is what the manifest says of inputs' values: what fits in 32 bits is not told from 64.
    """
    if format is not Format.ONNX:
        return ""
    import onnx

    try:
        proto = onnx.shape_inference.infer_shapes(onnx.load(model, load_external_data=False))
    except Exception:  # what cannot be read or inferred is refused by whoever converts it
        return ""
    small = {name for name, values in (said or {}).items() if _fits(values)}
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = {value.name for value in proto.graph.input} - weights - small
    return next(_reasons(proto.graph, inputs, {}), "")


def _fits(values: Values) -> bool:
    return None not in (values.low, values.high) and all(abs(v or 0.0) < _SMALL for v in (values.low, values.high))


def _reasons(graph: Any, carried: set[str], outer: dict[str, int]) -> Iterator[str]:
    """`carried` are the tensors that hold values of an input."""
    types = {**outer, **_types(graph)}
    for node in graph.node:
        inputs = [name for name in node.input if name in carried]
        kinds = {types.get(name, 0) for name in inputs}
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _reasons(attribute.g, {*carried, *(v.name for v in attribute.g.input)}, types)
        if not inputs:
            continue
        if node.op_type not in _OF_SHAPES and node.op_type not in _INDEXES:
            carried.update(node.output)
        if node.op_type == "Cast":
            to = next(attribute.i for attribute in node.attribute if attribute.name == "to")
            if kinds & _FLOATS and to in _INTEGERS:
                yield f"a float is cast to an integer ({_place(node)}), which saturates in OpenVINO"
            if kinds & _WIDE.keys() and to in {2, 3, 4, 5}:
                yield f"{_named(kinds)} is cast to fewer bits ({_place(node)}), which OpenVINO does differently"
        elif node.op_type not in _MOVES and kinds & _WIDE.keys():
            yield f"{_named(kinds)} reaches arithmetic ({_place(node)}), and {_HOW}"


def _types(graph: Any) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return {**types, **{tensor.name: tensor.data_type for tensor in graph.initializer}}


def _named(kinds: set[int]) -> str:
    return next(name for kind, name in _WIDE.items() if kind in kinds)


def _place(node: Any) -> str:
    return f"{node.op_type} {node.name!r}" if node.name else node.op_type
