"""What is said of every pixel, in ONNX operators over a whole batch: its class, or how unusual it is."""

from __future__ import annotations

import numpy as np

from tritonpm.convert.front.about import HEIGHT, WIDTH, FrontAbout, FrontOutput, Outputs, least_above, output
from tritonpm.core.tensors import numpy_dtype


def semantic_segmentation(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """The class of every pixel, of scores of each class (one: where it is above the threshold) or of whole numbers."""
    graph, spec, scores = about.graph, about.spec, outputs["scores"]
    shape = about.shape("scores")
    count = shape[1] if len(shape) == 4 else None
    if numpy_dtype(about.tensors["scores"].dtype).kind in "iub":
        rows = scores if len(shape) == 3 else graph.without_axes(scores, 1)
        for axis in (HEIGHT, WIDTH):
            rows = _nearest(rows, about, axis)
        return [output(graph.cast(rows, "INT32"), "classes", "INT32", "height", "width")]
    scores = graph.cast(scores, "FP32")
    if count == 1 and spec.activation == "sigmoid":
        scores = graph.op("Sigmoid", scores)
    rows = _between(scores, about, 2, HEIGHT)
    rows = graph.op("Transpose", rows, perm=[0, 3, 1, 2])  # whole columns are read faster than single values
    scores = _between(rows, about, 1, WIDTH)  # [n, width, classes, height]
    if count == 1:
        classes = graph.without_axes(graph.op("Greater", scores, least_above(spec.threshold)), 2)
    else:
        classes = graph.op("ArgMax", scores, axis=2, keepdims=0)
    classes = graph.op("Transpose", graph.cast(classes, "INT32"), perm=[0, 2, 1])
    return [output(classes, "classes", "INT32", "height", "width")]


def anomaly_map(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """A map, a score, or both; without a score the map's largest value is it."""
    graph, given = about.graph, []
    score = graph.op("Flatten", graph.cast(outputs["score"], "FP32")) if "score" in outputs else ""
    if "map" in outputs:
        shape = about.shape("map")
        unusual = graph.cast(outputs["map"], "FP32")
        unusual = unusual if len(shape) == 4 else graph.with_axes(unusual, 1)
        rows = graph.op("Transpose", _between(unusual, about, 2, HEIGHT), perm=[0, 3, 1, 2])
        laid = graph.op("Transpose", _between(rows, about, 1, WIDTH), perm=[0, 2, 3, 1])
        laid = graph.without_axes(laid, 1)
        given.append(output(laid, "map", "FP32", "height", "width"))
        score = score or graph.with_axes(graph.largest(graph.largest(laid, 2), 1), 1)
    counts = graph.op("Greater", score, least_above(about.spec.score))
    return [output(score, "scores", "FP32", 1), output(counts, "anomalous", "BOOL", 1), *given]


def _between(values: str, about: FrontAbout, axis: int, along: int) -> str:
    """Values [n, …] of rank 4 along an axis at each pixel of the pictures, all of one size; beyond them the last."""
    graph = about.graph
    size = graph.cast(graph.shape(values, axis, axis + 1), "FP64")
    last = graph.op("Sub", size, np.float64(1))
    places = graph.op("Sub", about.in_map(along, size), np.float64(0.5))
    places = graph.op("Max", graph.op("Min", places, last), np.float64(0))
    low = graph.op("Floor", places)
    one = graph.op("Gather", values, graph.cast(low, "INT64"), axis=axis)
    high = graph.cast(graph.op("Min", graph.op("Add", low, np.float64(1)), last), "INT64")
    other = graph.op("Gather", values, high, axis=axis)
    share = graph.with_axes(graph.cast(graph.op("Sub", places, low), "FP32"), *range(1, 4 - axis))
    return str(graph.op("Add", one, graph.op("Mul", graph.op("Sub", other, one), share)))


def _nearest(values: str, about: FrontAbout, along: int) -> str:
    """Of whole numbers [n, h, w] the one that a pixel of the pictures lies in."""
    graph, axis = about.graph, 1 + along
    size = graph.cast(graph.shape(values, axis, axis + 1), "FP64")
    places = graph.op("Floor", about.in_map(along, size))
    places = graph.op("Max", graph.op("Min", places, graph.op("Sub", size, np.float64(1))), np.float64(0))
    return str(graph.op("Gather", values, graph.cast(places, "INT64"), axis=axis))
