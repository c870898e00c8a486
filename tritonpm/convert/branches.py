"""Conditions of a graph that no input turned: what lies on their other side was not proved, whatever was tried.

A condition that follows from shapes alone (exporters write such) is none of the values, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.convert import runtimes
from tritonpm.convert.running import NotRunnableError, RunFailedError
from tritonpm.core.tensors import Array
from tritonpm.core.types import Format

_OF_SHAPES = {"Shape", "Size"}


def never_turned(format: Format, model: Path, tried: Iterable[Mapping[str, Array]]) -> tuple[str, ...]:
    """The conditions that were the same for all that was tried."""
    if format is not Format.ONNX or not (asking := _asking(model)):
        return ()
    path, names = asking
    try:
        run = runtimes.load(Format.ONNX, path)
    except NotRunnableError:
        return ()
    finally:
        path.unlink()
    seen: dict[str, set[bool]] = {name: set() for name in names}
    for inputs in tried:
        if all(len(values) > 1 for values in seen.values()):
            break
        try:
            answer = run(inputs)
        except RunFailedError:
            continue
        for name, values in seen.items():
            values.update(bool(value) for value in np.ravel(answer[name]))
    return tuple(name for name, values in seen.items() if len(values) == 1)


def _asking(model: Path) -> tuple[Path, list[str]] | None:
    """The model with its conditions as further outputs, beside it since its weights may be there; None without any."""
    import onnx

    proto = onnx.load(model, load_external_data=False)
    names = _conditions(proto.graph)
    if not names:
        return None
    known = {value.name for value in proto.graph.output}
    proto.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, None) for name in names if name not in known
    )
    path = model.with_name(f"conditions-{model.name}")
    onnx.save(proto, path)
    return path, names


def _conditions(graph: Any) -> list[str]:
    """What the graph's branches ask, where an input's values decide it."""
    weights = {tensor.name for tensor in graph.initializer}
    carried = {value.name for value in graph.input} - weights
    names: dict[str, None] = {}
    for node in graph.node:
        if node.op_type == "If" and node.input[0] in carried:
            names[node.input[0]] = None
        if node.op_type not in _OF_SHAPES and not carried.isdisjoint({*node.input, *_outer(node)}):
            carried.update(node.output)
    return list(names)


def _outer(node: Any) -> Iterable[str]:
    """What the graphs in a node take, of their own tensors and of those around them."""
    for attribute in node.attribute:
        for graph in (attribute.g,) if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                yield from (*inner.input, *_outer(inner))
