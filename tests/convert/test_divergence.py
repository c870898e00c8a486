"""The first tensor that diverges is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonpm.convert.divergence import first_divergence
from tritonpm.core.types import Format

X = {"x": np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 4)}
LIMITS = {"cosine": 0.999, "scaled": 0.01}


def network(path: Path, second: float) -> Path:
    """x → Mul 2 → a → Add `second` → b → Relu → y."""
    values = {"two": 2.0, "second": second}
    weights = [numpy_helper.from_array(np.full(4, v, np.float32), n) for n, v in values.items()]
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["a"]),
        helper.make_node("Add", ["a", "second"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 4]) for n in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("format", [Format.ONNX, Format.OPENVINO])
def test_the_first_tensor_and_its_operator_are_named(tmp_path: Path, format: Format) -> None:
    original, other = network(tmp_path / "a.onnx", 1.0), network(tmp_path / "b.onnx", 1.5)
    if format is Format.OPENVINO:
        import openvino

        openvino.save_model(openvino.convert_model(other), tmp_path / "b.xml", compress_to_fp16=False)
        other = tmp_path / "b.xml"
    said = first_divergence((Format.ONNX, original), (format, other), X, **LIMITS)
    assert "'b', made by Add" in said
    assert sorted(path.name for path in tmp_path.glob("seen-*")) == []


def test_nothing_is_said_of_models_that_agree(tmp_path: Path) -> None:
    one = network(tmp_path / "a.onnx", 1.0)
    assert first_divergence((Format.ONNX, one), (Format.ONNX, one), X, **LIMITS) == ""
