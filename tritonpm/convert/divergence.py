"""Where two versions of a model part: the first inner tensor, in the original's order, that is out of its bounds.

Converters keep the names of tensors that they do not fuse away; those that both still have are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.convert import runtimes
from tritonpm.core.tensors import Array
from tritonpm.core.types import Format

_MOST = 2000  # tensors; a model with more is looked at only so far
Inputs = Mapping[str, Array]


def first_divergence(
    original: tuple[Format, Path], converted: tuple[Format, Path], inputs: Inputs, *, cosine: float, scaled: float
) -> str:
    """A sentence that names the first inner tensor out of bounds and the operator that makes it; "" without one.

    Only for ONNX and OpenVINO; what a runtime refuses here is no news about the model, hence "".
    """
    if any(format not in _INSIDE for format, _ in (original, converted)):
        return ""
    try:
        (before, makers), (after, _) = (_INSIDE[format](path, inputs) for format, path in (original, converted))
    except Exception:
        return ""
    for name, want in before.items():
        got = after.get(name)
        if got is None or got.shape != want.shape or want.dtype.kind != "f" or not want.size:
            continue
        a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
        apart = float(np.abs(a - b).max()) / float(np.abs(a).max() or 1.0)
        length = float(np.linalg.norm(a) * np.linalg.norm(b))
        alike = float(a @ b) / length if length else float(np.array_equal(a, b))
        if not (apart <= scaled and alike >= cosine):  # NaN is out of bounds, too
            measured = f"scaled {apart:.3g}, cosine {alike:.5f}"
            return f"the first tensor that diverges is {name!r}, made by {makers[name]} ({measured})"
    return ""


def _inside_onnx(path: Path, inputs: Inputs) -> tuple[dict[str, Array], dict[str, str]]:
    """Every inner tensor by name, in the graph's order, and the operator that makes it."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    makers = {name: node.op_type for node in model.graph.node for name in node.output if name}
    known = {output.name for output in model.graph.output}
    for name in list(makers)[:_MOST]:
        if name not in known:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    seen = path.with_name(f"seen-{path.name}")  # beside it lie its external weights
    onnx.save(model, seen)
    try:
        return _ordered(runtimes.load(Format.ONNX, seen)(inputs), makers)
    finally:
        seen.unlink()


def _inside_openvino(path: Path, inputs: Inputs) -> tuple[dict[str, Array], dict[str, str]]:
    import openvino

    model = openvino.Core().read_model(str(path))
    makers: dict[str, str] = {}
    wanted: list[Any] = []
    for op in model.get_ordered_ops():
        for port in op.outputs() if op.get_type_name() not in ("Parameter", "Result", "Constant") else ():
            names = port.get_names()
            if names and len(wanted) < _MOST:
                wanted.append(port)
                makers.update(dict.fromkeys(names, op.get_type_name()))
    model.add_outputs(wanted)
    compiled = runtimes.compile_openvino(model)
    answer = compiled(dict(inputs))
    outputs = {name: np.array(answer[port]) for port in compiled.outputs for name in port.get_names()}
    return _ordered(outputs, makers)


def _ordered(outputs: Mapping[str, Array], makers: dict[str, str]) -> tuple[dict[str, Array], dict[str, str]]:
    return {name: outputs[name] for name in makers if name in outputs}, makers


_INSIDE = {Format.ONNX: _inside_onnx, Format.OPENVINO: _inside_openvino}
