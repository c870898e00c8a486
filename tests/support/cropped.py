"""A cascade that cuts out quarters of a picture by their colour, and the plain way to what it must answer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.support.models import quadrants
from tritonpm.core.tensors import Array

SIDE = 6  # of a crop
MANIFEST = """schema: 1
name: quarters
version: "1"
stages:
  - {name: find, task: object-detection, model: find.onnx}
  - {name: cut, crop: {margin: 0.25, most: 3}}
  - name: look
    task: image-classification
    model: look.onnx
    labels: [red, green, blue]
    preprocess: {size: [6, 6], colour: BGR, mean: [1, 2, 3], std: [4, 5, 6]}
    decode: {kind: classification, top_k: 3}
verdict:
  something is there: {at_least: 1}
  no green: {what: [green], at_most: 0}
  no blue on large ones: {said: [blue], sure: 30, area: [200, 10000], at_most: 0}
"""


def mean_colours() -> bytes:
    """scores = the mean of each channel of [batch, 3, SIDE, SIDE], red first, of pixels in blue, green, red."""
    crops = helper.make_tensor_value_info("crop", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])
    nodes = [
        helper.make_node("ReduceMean", ["crop"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["means", "order"], ["scores"], axis=1),
    ]
    order = numpy_helper.from_array(np.array([2, 1, 0], np.int64), "order")
    graph = helper.make_graph(nodes, "g", [crops], [scores], [order])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def package(folder: Path, manifest: str = MANIFEST) -> Path:
    """The package's folder."""
    folder.mkdir()
    (folder / "package.yaml").write_text(manifest)
    (folder / "find.onnx").write_bytes(quadrants())
    (folder / "look.onnx").write_bytes(mean_colours())
    return folder


def crop(pixels: Array, box: Array, margin: float, sides: tuple[int, int]) -> Array:
    """What is in a box [left, top, right, bottom] of pixels [channels, height, width], resized, in plain NumPy.

    Where it is made smaller, the mean of as many places as it takes not to leave any pixel out.
    """
    height, width = pixels.shape[1:]
    wide, high = (box[2] - box[0]) * margin, (box[3] - box[1]) * margin
    left, right = np.clip([box[0] - wide, box[2] + wide], 0, width)
    top, bottom = np.clip([box[1] - high, box[3] + high], 0, height)
    rows, columns = _places(top, bottom, sides[0]), _places(left, right, sides[1])
    sampled = _between(_between(pixels, 1, rows), 2, columns)
    return sampled.reshape(len(pixels), sides[0], -1, sides[1], len(columns) // sides[1]).mean(axis=(2, 4))


def _places(low: float, high: float, count: int) -> Array:
    each = max(1, math.ceil((high - low) / count))
    return low + (np.arange(count * each) + 0.5) * (high - low) / (count * each) - 0.5


def _between(values: Array, axis: int, places: Array) -> Array:
    last = values.shape[axis] - 1
    places = np.clip(places, 0, last)
    low = np.floor(places).astype(int)
    share = (places - low).reshape([-1 if index == axis else 1 for index in range(3)])
    one, other = np.take(values, low, axis), np.take(values, np.minimum(low + 1, last), axis)
    return np.asarray(one + (other - one) * share)
