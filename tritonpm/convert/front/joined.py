"""A model and its front as one ONNX model: one request to one model, where one runtime runs all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tritonpm.convert.front.graph import IR_VERSION, LEAST_OPSET
from tritonpm.convert.front.pieces import MODEL, FrontModel

_OURS = "model/"  # before the names of a model that the front needs for itself


def opset_of(model: Path) -> int | None:
    """The opset that a front must have to be joined with a model; None where it cannot be."""
    import onnx

    header = onnx.load(model, load_external_data=False)
    outside = any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in header.graph.initializer)
    opset = next((entry.version for entry in header.opset_import if entry.domain in ("", "ai.onnx")), 0)
    return None if outside or opset < LEAST_OPSET else int(opset)


def joined(model: Path, before: FrontModel, behind: FrontModel) -> bytes:
    """The file of the three as one; the pieces have the opset that `opset_of` says."""
    import onnx

    whole = onnx.load(model)
    first, last = (onnx.load_from_string(piece.model).graph for piece in (before, behind))
    weights = {tensor.name for tensor in whole.graph.initializer}
    ends = {value.name for value in (*whole.graph.input, *whole.graph.output) if value.name not in weights}
    taken = {*_names(first), *_names(last)}
    own = {name: _OURS + name for name in {*ends, *(taken & set(_names(whole.graph)))}}
    _rename(whole.graph, own)
    for piece in (first, last):
        _rename(piece, {MODEL + name: own[name] for name in ends})
    nodes = [*first.node, *whole.graph.node, *last.node]
    kept = [value for value in whole.graph.input if value.name.removeprefix(_OURS) in weights]  # IR < 4 lists weights
    inputs = [*first.input, *kept]
    for field, values in (("node", nodes), ("input", inputs), ("output", list(last.output))):
        part = getattr(whole.graph, field)
        copied = [type(value).FromString(value.SerializeToString()) for value in values]
        del part[:]
        part.extend(copied)
    whole.graph.initializer.extend([*first.initializer, *last.initializer])
    whole.ir_version = max(whole.ir_version, IR_VERSION)
    return bytes(whole.SerializeToString(deterministic=True))


def _names(graph: Any) -> Iterator[str]:
    """Of all tensors of a graph, and of the graphs in it."""
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info))
    for node in graph.node:
        yield from (*node.input, *node.output)
        for inner in _within(node):
            yield from _names(inner)


def _within(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)
    for node in graph.node:
        for part in (node.input, node.output):
            part[:] = [names.get(name, name) for name in part]
        for inner in _within(node):
            _rename(inner, names)
