"""Stages that stand side by side on one input, served by the real Triton."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.support.models import WIDTH, scaled
from tritonpm.core.tensors import save_npz
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.server import connect

pytestmark = pytest.mark.server

STAGES = """schema: 1
name: branches
version: "1"
stages:
  - {name: double, model: double.onnx}
  - {name: triple, model: triple.onnx, inputs: {x: x}}
  - {name: sum, model: sum.onnx, inputs: {two: double.y, three: triple.y}}
  - {name: beside, model: beside.onnx, inputs: {x: x}}
samples: [{inputs: i.npz, outputs: o.npz}]
"""


def summed() -> bytes:
    """total = two + three, of [batch, WIDTH]."""
    two, three, total = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("two", "three", "total")
    )
    graph = helper.make_graph([helper.make_node("Add", ["two", "three"], ["total"])], "g", [two, three], [total])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_branches_answer_as_one(context: Context, server: None, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "package.yaml").write_text(STAGES)
    models = {"double": scaled(2.0), "triple": scaled(3.0), "sum": summed(), "beside": scaled(-1.0, result="minus")}
    for name, model in models.items():
        (folder / f"{name}.onnx").write_bytes(model)
    x = np.linspace(-1, 1, 2 * WIDTH, dtype=np.float32).reshape(2, WIDTH)
    save_npz(folder / "i.npz", {"x": x})
    save_npz(folder / "o.npz", {"total": 5 * x, "minus": -x})
    import_package(context, folder)
    load(context, "branches")
    rows = [np.full((1 + index % 3, WIDTH), index, np.float32) for index in range(24)]
    with connect(context, "grpc") as client, ThreadPoolExecutor(8) as pool:  # which threads may share
        assert [tensor.name for tensor in client.metadata("branches").inputs] == ["x"]
        for row, answer in zip(rows, pool.map(lambda row: client.infer("branches", {"x": row}), rows), strict=True):
            np.testing.assert_allclose(answer["total"], 5 * row)
            np.testing.assert_allclose(answer["minus"], -row)
