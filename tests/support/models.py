"""Small ONNX models whose answers are known."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

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
