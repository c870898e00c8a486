"""Small networks that the converters are tried on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def dense(path: Path, *, layers: int = 3, width: int = 16, scale: dict[int, float] | None = None) -> Path:
    """x [batch, width] → Gemm, Relu, … → y; `scale` multiplies a layer's weights."""
    random = np.random.default_rng(0)
    nodes, weights, source = [], [], "x"
    for layer in range(layers):
        matrix = random.normal(0, 1 / np.sqrt(width), (width, width)) * (scale or {}).get(layer, 1.0)
        weights.append(numpy_helper.from_array(matrix.astype(np.float32), f"w{layer}"))
        last = layer == layers - 1
        nodes.append(helper.make_node("MatMul", [source, f"w{layer}"], ["y" if last else f"h{layer}"], f"layer{layer}"))
        source = f"r{layer}"
        if not last:
            nodes.append(helper.make_node("Relu", [f"h{layer}"], [source], f"relu{layer}"))
    return save(path, nodes, weights, width)


def save(path: Path, nodes: list[object], weights: list[object], width: int, **extra: object) -> Path:
    """A graph from x [batch, width] to y [batch, width]."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path, **extra)  # type: ignore[arg-type]
    return path


def convolution(path: Path) -> Path:
    """image [batch, 3, height, width] → Conv, Relu, global pool → y [batch, 4]; any height and width."""
    random = np.random.default_rng(0)
    weight = numpy_helper.from_array(random.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["y"], "flatten"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "g", [image], [y], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
