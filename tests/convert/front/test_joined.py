"""A model and its front as one ONNX model: whatever names the model has, and whatever is within it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonpm.convert.front.joined import joined, opset_of
from tritonpm.convert.front.pieces import objects, pictures
from tritonpm.core.types import Signature, Tensor
from tritonpm.meaning.pictures import made_up
from tritonpm.meaning.spec import Decode, Preprocess


def branching(source: str, result: str, opset: int, weight: str = "weight") -> onnx.ModelProto:
    """The mean of each channel times a weight, which a branch of an If reads from outside."""
    branch = helper.make_graph(
        [helper.make_node("Mul", ["mean", weight], ["inner"])], "b", [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("If", ["always"], [result], then_branch=branch, else_branch=branch),
    ]
    weights = {weight: np.array([3, 2, 1], np.float32), "always": np.array(True)}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_turned_boxes_are_told_apart_within(tmp_path: Path) -> None:
    """Their reader repeats a graph of its own, whose names are the whole's."""
    file, weights = tmp_path / "model.onnx", np.zeros((3, 6 * 3), np.float32)
    weights[0] = np.array([[4, 4, 4], [4, 4, 4], [6, 6, 6], [1, 1, 1], [0.9, 0.8, 0.7], [0, 0.05, 1.5]]).ravel()
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("MatMul", ["mean", "w"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["y"]),
    ]
    constants = {"w": weights, "shape": np.array([-1, 6, 3])}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 6, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    signature = Signature((Tensor("x", "FP32", ("batch", 3, 8, 8)),), (Tensor("y", "FP32", ("batch", 6, 3)),))
    before = pictures(Preprocess(size=(8, 8), scale=1 / 255), signature, batched=True, opset=17)
    behind = objects(Decode("yolov8-obb", iou=0.6), signature, (), batched=True, opset=17)
    session = ort.InferenceSession(joined(file, before, behind))
    red = np.zeros((2, 8, 8, 3), np.uint8)
    red[0, ..., 0] = 255
    count, angles = session.run(["count", "angles"], {"image": red})
    assert count.ravel().tolist() == [2, 0]
    assert np.allclose(angles[0, :2], [0, 1.5]) and not angles[:, 2:].any()


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize(
    ("source", "result", "weight"),
    [("x", "y", "weight"), ("image", "scores", "classes"), ("scores", "classes", "pictures/1"), ("1", "2", "image")],
)
def test_names_do_not_clash(tmp_path: Path, source: str, result: str, weight: str, opset: int) -> None:
    file = tmp_path / "model.onnx"
    onnx.save(branching(source, result, opset, weight), file)
    signature = Signature((Tensor(source, "FP32", ("batch", 3, 8, 8)),), (Tensor(result, "FP32", ("batch", 3)),))
    assert opset_of(file) == opset
    before = pictures(Preprocess(size=(8, 8)), signature, batched=True, opset=opset)
    behind = objects(Decode("classification", top_k=3), signature, (), batched=True, raw=True, opset=opset)
    whole = joined(file, before, behind)
    onnx.checker.check_model(onnx.load_from_string(whole))
    shown = np.stack([made_up(20, 30, seed) for seed in range(2)])
    session = ort.InferenceSession(whole)
    assert [one.name for one in session.get_inputs()] == ["image"]
    classes, raw = session.run(["classes", f"raw.{result}"], {"image": shown})
    assert np.array_equal(classes, np.argsort(-raw, axis=1))
    plain = ort.InferenceSession(file.read_bytes()).run(None, {source: np.zeros((2, 3, 8, 8), np.float32)})[0]
    assert raw.shape == plain.shape and (raw > 0).all()


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    old = branching("x", "y", 12)
    onnx.save(old, tmp_path / "old.onnx")
    assert opset_of(tmp_path / "old.onnx") is None
    onnx.save(branching("x", "y", 17), tmp_path / "outside.onnx", save_as_external_data=True, size_threshold=0)
    assert opset_of(tmp_path / "outside.onnx") is None
