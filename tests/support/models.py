"""Small ONNX models whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tritonpm.core.tensors import Array

WIDTH = 4


def scaled(factor: float, less: float = 0.0, *, source: str = "x", result: str = "y") -> bytes:
    """result = (source - less) * factor, of [batch, WIDTH]."""

    def value(name: str) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])

    constants = {"less": np.full(WIDTH, less, np.float32), "factor": np.full(WIDTH, factor, np.float32)}
    nodes = [helper.make_node("Sub", [source, "less"], ["z"]), helper.make_node("Mul", ["z", "factor"], [result])]
    graph = helper.make_graph(
        nodes, "g", [value(source)], [value(result)], [numpy_helper.from_array(a, n) for n, a in constants.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def logarithm() -> bytes:
    """y = log(x - 5): not a number for the sample."""
    from onnx import TensorProto, helper

    def value(name: str) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4])

    five = helper.make_tensor("five", TensorProto.FLOAT, [1], [5.0])
    nodes = [helper.make_node("Sub", ["x", "five"], ["z"]), helper.make_node("Log", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], [five])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def failing_for_zeros(width: int = WIDTH) -> bytes:
    """y = x, but rows of zeros look up a row that is not there: what warms up with zeros fails."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Equal", ["s", "zero"], ["empty"]),
        helper.make_node("Cast", ["empty"], ["flag"], to=TensorProto.INT64),
        helper.make_node("Mul", ["flag", "far"], ["row"]),
        helper.make_node("Gather", ["table", "row"], ["picked"]),
        helper.make_node("Add", ["x", "picked"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in "xy")
    weights = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("far", TensorProto.INT64, [], [1000]),
        helper.make_tensor("table", TensorProto.FLOAT, [2, width], [0.0] * 2 * width),
    ]
    graph = helper.make_graph(nodes, "zeros", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


QUADRANTS = {
    "description": "Ultralytics YOLOv8n model", "author": "Ultralytics", "task": "detect", "stride": "16", "batch": "1",
    "imgsz": "[32, 32]", "names": "{0: 'red', 1: 'green'}",
}  # fmt: skip


def quadrants() -> bytes:
    """A detector with YOLOv8's head, as Ultralytics exports one: how red and how green each quarter of 32 x 32 is."""
    centres = np.array([[8, 24, 8, 24], [8, 8, 24, 24], [16] * 4, [16] * 4], np.float32)[np.newaxis]
    constants = {
        "boxes": centres, "zero": np.array([0], np.int64), "two": np.array([2], np.int64),
        "one": np.array([1], np.int64), "flat": np.array([0, 2, 4], np.int64), "rest": np.array([4, 4], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Slice", ["pooled", "zero", "two", "one"], ["colours"]),
        helper.make_node("Reshape", ["colours", "flat"], ["scores"]),
        helper.make_node("Shape", ["images"], ["rows"], end=1),
        helper.make_node("Concat", ["rows", "rest"], ["wanted"], axis=0),
        helper.make_node("Expand", ["boxes", "wanted"], ["placed"]),
        helper.make_node("Concat", ["placed", "scores"], ["output0"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 6, 4])],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, QUADRANTS)
    return bytes(model.SerializeToString())


def colours(batch: str | int = "batch", *, source: str = "images", pooled: bool = True) -> bytes:
    """A classifier of 16 x 16 pictures: how red, how green and how blue they are; not `pooled` it gives them back, m."""
    result, shape = ("scores", [batch, 3]) if pooled else ("m", [batch, 3, 16, 16])
    nodes = [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], [result]),
    ]
    graph = helper.make_graph(
        nodes if pooled else [helper.make_node("Relu", [source], [result])], "g",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, [batch, 3, 16, 16])],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, shape)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def showing(height: int | str, width: int | str) -> bytes:
    """A model that gives back the picture that it is given, as one row of numbers."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, height, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "pixels"])],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def answering(answers: Mapping[str, Array]) -> bytes:
    """A model of 16 x 16 pictures with these answers [1, …] to a red one: as much of them as a picture is red."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["all"]),
        helper.make_node("Slice", ["all", "zero", "one", "one"], ["red"]),
    ]
    constants = [numpy_helper.from_array(np.array([n], np.int64), name) for n, name in enumerate(("zero", "one"))]
    outputs = []
    for name, array in answers.items():
        flat, sizes = array.reshape(1, -1).astype(np.float32), [-1, *array.shape[1:]]
        constants += [
            numpy_helper.from_array(flat, f"{name}.of"),
            numpy_helper.from_array(np.array(sizes), f"{name}.as"),
        ]
        nodes.append(helper.make_node("MatMul", ["red", f"{name}.of"], [f"{name}.flat"]))
        nodes.append(helper.make_node("Reshape", [f"{name}.flat", f"{name}.as"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *array.shape[1:]]))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 16, 16])
    graph = helper.make_graph(nodes, "g", [images], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def reds(opset: int) -> bytes:
    """A model of pictures of any size that gives how red each pixel is: [n, 1, h, w]."""
    bounds = [numpy_helper.from_array(np.array([n], np.int64), name) for n, name in enumerate(("zero", "one"))]
    nodes = [helper.make_node("Slice", ["images", "zero", "one", "one"], ["map"])]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, "h", "w"])
        for name, channels in (("images", 3), ("map", 1))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], bounds)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()
