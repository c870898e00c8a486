"""A package's own IR computes in FP32 wherever it is served, unless bf16 is asked for; what OpenVINO alters is told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx.parser
import openvino as ov
import pytest
from openvino import opset8 as op

from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.render import render, wanted_revision
from tritonpm.operations.set import change

MARK = b'name="precise"'


@pytest.fixture
def ir(tmp_path: Path) -> Path:
    x = op.parameter([-1, 3], np.float32, name="x")
    weights = op.constant(np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32))
    y = op.matmul(x, weights, False, False)
    y.output(0).get_tensor().set_names({"y"})
    (tmp_path / "given").mkdir()
    ov.save_model(ov.Model([op.result(y)], [x], "net"), str(tmp_path / "given/model.xml"), compress_to_fp16=False)
    return tmp_path / "given/model.xml"


def rendered(context: Context, name: str, folder: Path) -> Path:
    render(context, name, folder)
    return folder / name / "1" / "model.xml"


def test_the_ir_of_a_package_is_marked_where_it_is_rendered(context: Context, ir: Path, tmp_path: Path) -> None:
    import_package(context, ir, name="p")
    before = wanted_revision(context, "p")
    model = rendered(context, "p", tmp_path / "one")
    assert MARK in model.read_bytes() and MARK not in ir.read_bytes()
    row = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)
    answers = [
        ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([row])[0] for path in (ir, model)
    ]
    assert (answers[0] == answers[1]).all()
    assert wanted_revision(context, "p") == before  # made once, and the same each time


def test_bf16_that_is_asked_for_leaves_it_as_it_came(context: Context, ir: Path, tmp_path: Path) -> None:
    import_package(context, ir, name="p")
    change(context, "p", {"bf16": True})
    assert rendered(context, "p", tmp_path / "one").read_bytes() == ir.read_bytes()


def test_an_adopted_folder_is_given_back_as_it_came(context: Context, ir: Path, tmp_path: Path) -> None:
    version = tmp_path / "net" / "1"
    version.mkdir(parents=True)
    for file in ir.parent.iterdir():
        shutil.copy(file, version)
    (tmp_path / "net/config.pbtxt").write_text(
        'name: "net" backend: "openvino" input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] }'
        ' output { name: "y" data_type: TYPE_FP32 dims: [ -1, 5 ] }'
    )
    import_package(context, tmp_path / "net")
    assert rendered(context, "net", tmp_path / "one").read_bytes() == ir.read_bytes()


def test_openvino_by_name_says_what_it_computes_otherwise(context: Context, tmp_path: Path) -> None:
    graph = "g (int64[N,4] x) => (int64[N,4] y) { y = Add(x, x) }"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph}'), tmp_path / "ids.onnx")
    import_package(context, tmp_path / "ids.onnx", name="ids")
    told: list[str] = []
    change(replace(context, warn=told.append), "ids", {"backend": "openvino"})
    assert [line for line in told if "INT64 reaches arithmetic (Add), and OpenVINO computes it in 32 bits" in line]
    told.clear()
    change(replace(context, warn=told.append), "ids", {"backend": "onnxruntime"})
    assert not [line for line in told if "INT64" in line]
