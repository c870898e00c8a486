"""Where texts are (DB), in ONNX operators over a whole batch: as `meaning.decode.ocr` reads it."""

from __future__ import annotations

import numpy as np

from tritonpm.convert.front.about import FrontAbout, FrontOutput, Outputs, activated, output, where
from tritonpm.convert.front.areas import Areas, Rectangles, areas, rectangles
from tritonpm.convert.front.graph import Graph
from tritonpm.convert.front.rows import Candidates, best
from tritonpm.meaning.decode.areas import MOST_ROWS, SAME_PLACE
from tritonpm.meaning.decode.ocr import LEAST_SIDE

_CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))  # low or high, along and across: clockwise


def ocr_detection(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Each connected area of the map that is likely enough, as the smallest rectangle around it, made larger."""
    graph, spec = about.graph, about.spec
    likely = graph.cast(outputs["map"], "FP32")
    rows = graph.shape(about.geometry, 0, 1)
    whole = graph.op("Shape", likely)
    likely = graph.op("Reshape", likely, graph.op("Concat", rows, graph.cut(whole, 0, -2), axis=0))
    likely = activated(graph, likely, spec.activation, 2)
    found = areas(graph, likely, _at_most(spec.threshold), spec.score, LEAST_SIDE)
    polygons, large = _polygons(graph, found, rectangles(graph, found), graph.cut(whole, 0, -2), about)
    scores = where(graph, large, graph.cast(found.score, "FP32"), np.float32(-1))
    own = graph.op("Equal", found.picture, graph.with_axes(graph.counted(rows), 1))  # [n, c]
    scores = where(graph, own, scores, np.float32(-1))
    corners = graph.op("Reshape", polygons, np.array([-1, 4, 2], np.int64))
    boxes = graph.op("Concat", graph.least(corners, 1), graph.largest(corners, 1), axis=1)
    boxes, polygons = (_of_each_picture(graph, one, scores) for one in (boxes, polygons))
    classes = graph.cast(graph.op("Mul", scores, np.float32(0)), "INT32")
    kept = best(Candidates(boxes, scores, classes, "areas", "xyxy", "picture"), about)
    polygons = kept.of(about, polygons)
    polygons = graph.op("Max", graph.op("Min", polygons, about.pair(0, times=4)), np.float32(0))
    polygons = where(graph, graph.with_axes(kept.there, 2), polygons, np.float32(0))
    polygons = graph.op("Reshape", polygons, np.array([0, 0, 4, 2], np.int64))
    return [*kept.outputs(about), output(polygons, "polygons", "FP32", spec.most, 4, 2)]


def _of_each_picture(graph: Graph, rows: str, scores: str) -> str:
    """Rows [c, k] as [n, c, k]: any may be of any picture; the scores [n, c] say of which it is."""
    shape = graph.op("Concat", graph.op("Shape", scores), graph.shape(rows, 1, 2), axis=0)
    return str(graph.op("Expand", graph.with_axes(rows, 0), shape))


def _polygons(graph: Graph, found: Areas, around: Rectangles, size: str, about: FrontAbout) -> tuple[str, str]:
    """FP32 [c, 8] in the pictures' pixels, clockwise from the upper left; whether the rectangle is large enough."""
    sides = [graph.op("Sub", high, low) for low, high in zip(around.low, around.high, strict=True)]
    large = graph.op("GreaterOrEqual", graph.op("Min", *sides), np.float64(LEAST_SIDE))
    half = np.float64(about.spec.unclip / 2)
    distance = graph.op("Div", graph.op("Mul", graph.op("Mul", *sides), half), graph.op("Add", *sides))
    plain = _points(graph, around, np.float64(0))
    sums = graph.op("Round", graph.op("Mul", graph.op("Add", *plain), np.float64(SAME_PLACE)))
    nearest = graph.op("Add", sums, graph.op("Div", plain[1], np.float64(MOST_ROWS)))
    first = graph.op("ArgMin", nearest, axis=1, keepdims=1)
    order = graph.op("Mod", graph.op("Add", first, np.arange(4)), np.int64(4))  # [c, 4]
    grown = [graph.op("GatherElements", one, order, axis=1) for one in _points(graph, around, distance)]
    geometry = graph.op("Gather", about.geometry, found.picture)  # [c, 8]
    placed = []
    for one, axis in zip(grown, (1, 0), strict=True):  # x lies along the width
        whole, step, offset = (graph.cut(geometry, 1, n + axis, n + axis + 1) for n in (2, 4, 6))
        of_map = graph.cast(graph.cut(size, 0, axis, axis + 1), "FP64")
        moved = graph.op("Sub", graph.op("Div", graph.op("Mul", one, whole), of_map), offset)
        placed.append(graph.with_axes(graph.op("Div", moved, step), 2))
    pairs = graph.cast(graph.op("Concat", *placed, axis=2), "FP32")
    return str(graph.op("Reshape", pairs, np.array([-1, 8], np.int64))), large


def _points(graph: Graph, around: Rectangles, further: str | np.float64) -> tuple[str, str]:
    """The corners' x and y, FP64 [c, 4] each, with every side so much further out."""
    low = [graph.op("Sub", one, further) for one in around.low]
    high = [graph.op("Add", one, further) for one in around.high]
    ends = [(one, other) for one, other in zip(low, high, strict=True)]
    x, y = [], []
    for one, other in _CORNERS:
        along, across = ends[0][one], ends[1][other]
        left = graph.op("Sub", graph.op("Mul", along, around.x), graph.op("Mul", across, around.y))
        top = graph.op("Add", graph.op("Mul", along, around.y), graph.op("Mul", across, around.x))
        x.append(graph.with_axes(left, 1))
        y.append(graph.with_axes(top, 1))
    return graph.op("Concat", *x, axis=1), graph.op("Concat", *y, axis=1)


def _at_most(threshold: float) -> np.float32:
    """The largest number of FP32 that is not above it."""
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
