"""Boxes that are turned, in ONNX operators over a whole batch: as `meaning.decode.turned` reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tritonpm.convert.front.about import (
    FrontAbout,
    FrontOutput,
    Outputs,
    activated,
    how_many,
    least_above,
    output,
    where,
)
from tritonpm.convert.front.detections import end_to_end
from tritonpm.convert.front.graph import Graph
from tritonpm.convert.front.rows import Candidates, best, taken

_LITTLE = np.float32(1e-7)
_MOST_RIVALS = 2048  # candidates of a picture that are held against one another, the best: each against each


def yolov8_obb(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Columns of centre, size, scores of the classes, angle. The box is the one before it is turned."""
    graph, spec, columns = about.graph, about.spec, outputs["predictions"]
    scores = activated(graph, graph.cut(columns, 1, 4, -1), spec.activation, 1)
    highest, classes = graph.largest(scores, 1), graph.op("ArgMax", scores, axis=1, keepdims=0)
    counted = graph.op("Greater", highest, least_above(spec.score))
    some = graph.op("ReduceMax", how_many(graph, counted), keepdims=0)
    bounded = graph.op("Max", graph.op("Min", graph.cast(some, "INT64"), np.int64(_MOST_RIVALS)), np.int64(1))
    scores = where(graph, counted, highest, np.float32(-1))
    scores, index = graph.op("TopK", scores, graph.with_axes(bounded, 0), axis=1, results=2)
    rows = graph.op("Concat", graph.cut(columns, 1, 0, 4), graph.cut(columns, 1, -1), axis=1)
    turned = taken(graph, graph.cast(graph.op("Transpose", rows, perm=[0, 2, 1]), "FP32"), index)
    classes = graph.op("GatherElements", classes, index, axis=1)
    rivals = graph.op("Greater", _overlaps(graph, turned), np.float32(spec.iou))
    if not spec.agnostic:
        rivals = graph.op("And", rivals, graph.op("Equal", graph.with_axes(classes, 2), graph.with_axes(classes, 1)))
    scores = where(graph, _kept(graph, rivals), scores, np.float32(-1))
    boxes = graph.cut(turned, 2, 0, 4)
    return _angled(Candidates(boxes, scores, graph.cast(classes, "INT32"), "?", "cxcywh", "input"), turned, about)


def yolov10_obb(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Rows of centre, size, score, class, angle, each object once. The box is the one before it is turned."""
    made = replace(end_to_end(outputs["predictions"], about), form="cxcywh", space="input")
    return _angled(made, outputs["predictions"], about)


def _angled(made: Candidates, rows: str, about: FrontAbout) -> list[FrontOutput]:
    """The best of them with their angles, which stand last in the rows."""
    graph = about.graph
    kept = best(made, about, cut=False)
    angles = graph.cast(graph.without_axes(kept.of(about, graph.cut(rows, 2, -1)), 2), "FP32")
    angles = where(graph, kept.there, angles, np.float32(0))
    return [*kept.outputs(about), output(angles, "angles", "FP32", about.spec.most)]


def _overlaps(graph: Graph, turned: str) -> str:
    """Of each turned box [n, k, 5] with each, from 0 to 1: [n, k, k]."""
    x, y, width, height, angle = (graph.cut(turned, 2, n, n + 1) for n in range(5))  # [n, k, 1]
    wide, tall = (graph.op("Div", graph.op("Mul", side, side), np.float32(12)) for side in (width, height))
    cosine, sine = graph.op("Cos", angle), graph.op("Sin", angle)
    squares = [graph.op("Mul", one, one) for one in (cosine, sine)]
    a = graph.op("Add", graph.op("Mul", wide, squares[0]), graph.op("Mul", tall, squares[1]))
    b = graph.op("Add", graph.op("Mul", wide, squares[1]), graph.op("Mul", tall, squares[0]))
    c = graph.op("Mul", graph.op("Mul", graph.op("Sub", wide, tall), cosine), sine)
    whole = graph.op("Mul", wide, tall)  # a · b - c², whatever the angle

    def pairs(kind: str, one: str) -> str:
        return str(graph.op(kind, one, graph.op("Transpose", one, perm=[0, 2, 1])))

    sums = {name: pairs("Add", one) for name, one in (("a", a), ("b", b), ("c", c))}
    dx, dy = pairs("Sub", x), pairs("Sub", y)
    shared = graph.op("Sub", graph.op("Mul", sums["a"], sums["b"]), graph.op("Mul", sums["c"], sums["c"]))
    shared = graph.op("Add", shared, _LITTLE)
    far = graph.op("Add", _product(graph, sums["a"], dy, dy), _product(graph, sums["b"], dx, dx))
    far = graph.op("Sub", graph.op("Mul", far, np.float32(0.25)), _product(graph, sums["c"], dx, dy, np.float32(0.5)))
    root = graph.op("Sqrt", graph.op("Max", pairs("Mul", whole), np.float32(0)))
    unlike = graph.op("Div", shared, graph.op("Add", graph.op("Mul", root, np.float32(4)), _LITTLE))
    unlike = graph.op("Mul", graph.op("Log", graph.op("Add", unlike, _LITTLE)), np.float32(0.5))
    distance = graph.op("Add", graph.op("Div", far, shared), unlike)
    distance = graph.op("Max", graph.op("Min", distance, np.float32(100)), _LITTLE)
    left = graph.op("Sub", np.float32(1), graph.op("Exp", graph.op("Neg", distance)))
    return str(graph.op("Sub", np.float32(1), graph.op("Sqrt", graph.op("Add", left, _LITTLE))))


def _product(graph: Graph, first: str, *others: str | np.generic) -> str:
    for other in others:
        first = graph.op("Mul", first, other)
    return first


def _kept(graph: Graph, rivals: str) -> str:
    """Which of [n, k], the best first, stay: those that no better one is a rival of, whether that one stays or not."""
    numbers = graph.counted(graph.shape(rivals, 1, 2))
    better = graph.op("Less", graph.with_axes(numbers, 1), numbers)  # [which, than which]
    against = graph.cast(graph.op("And", rivals, better), "FP32")
    return str(graph.op("Not", graph.cast(graph.largest(against, 1), "BOOL")))
