"""Objects' masks at the pictures' size: of as many objects as one of the pictures of a request has.

A map is read between its values by two products with matrices: one that mixes its rows, one that mixes its columns.
"""

from __future__ import annotations

import numpy as np

from tritonpm.convert.front.about import HEIGHT, WIDTH, FrontAbout, FrontOutput, output, where
from tritonpm.convert.front.graph import Graph
from tritonpm.convert.front.rows import Best, taken

_SIDES = (HEIGHT, (1, 3)), (WIDTH, (0, 2))  # among the corners: where they begin and end along each axis


def mixed(coefficients: str, prototypes: str, about: FrontAbout) -> str:
    """Prototypes [n, d, h, w], added up as coefficients [n, k, d] say: [n, k, h, w]."""
    graph = about.graph
    flat = graph.op("Reshape", graph.cast(prototypes, "FP32"), np.array([0, 0, -1], np.int64))
    sides = graph.op("Concat", np.zeros(2, np.int64), graph.shape(prototypes, 2, 4), axis=0)
    return str(graph.op("Reshape", graph.op("MatMul", coefficients, flat), sides))


def of_input(masks: str, found: Best, about: FrontAbout, level: np.float32, *, within: str = "") -> FrontOutput:
    """Masks FP32 [n, k, h, w] over the input: a pixel belongs above `level`, and inside of the corners `within`."""
    shares = [_shares(about.graph, _places(about, masks, axis), masks, axis) for axis in (HEIGHT, WIDTH)]
    return _given(masks, shares, found, about, level, within)


def of_boxes(masks: str, found: Best, about: FrontAbout, level: np.float32) -> FrontOutput:
    """Masks FP32 [n, k, h, w], each over its own box."""
    graph, shares = about.graph, []
    for axis, (low, high) in _SIDES:
        start, end = (graph.cut(found.whole, 2, n, n + 1) for n in (low, high))
        side = graph.op("Max", graph.op("Sub", end, start), np.float32(1e-6))
        size = graph.cast(graph.shape(masks, 2 + axis, 3 + axis), "FP32")
        place = graph.op("Div", graph.op("Sub", graph.cast(about.centres(axis), "FP32"), start), side)
        place = graph.op("Sub", graph.op("Mul", place, size), np.float32(0.5))  # [n, k, pixels]
        shares.append(_shares(graph, place, masks, axis))
    return _given(masks, shares, found, about, level, found.whole)


def _places(about: FrontAbout, masks: str, axis: int) -> str:
    size = about.graph.cast(about.graph.shape(masks, 2 + axis, 3 + axis), "FP64")
    places = about.graph.op("Sub", about.in_map(axis, size), np.float64(0.5))
    return about.graph.cast(places, "FP32")


def _shares(graph: Graph, places: str, masks: str, axis: int) -> str:
    """What each value along the axis counts at each place; beyond the ends the last counts.

    [..., places, values] along the height, [..., values, places] along the width: each its side of a product.
    """
    size = graph.shape(masks, 2 + axis, 3 + axis)
    last = graph.op("Sub", graph.cast(size, "FP32"), np.float32(1))
    places = graph.op("Max", graph.op("Min", places, last), np.float32(0))
    values = graph.cast(graph.counted(size), "FP32")
    values = values if axis == HEIGHT else graph.with_axes(values, 1)
    apart = graph.op("Sub", graph.with_axes(places, -1 if axis == HEIGHT else -2), values)
    return str(graph.op("Max", graph.op("Sub", np.float32(1), graph.op("Abs", apart)), np.float32(0)))


def _given(
    masks: str, shares: list[str], found: Best, about: FrontAbout, level: np.float32, within: str
) -> FrontOutput:
    graph = about.graph
    values = graph.op("MatMul", graph.op("MatMul", shares[HEIGHT], masks), shares[WIDTH])
    belongs = graph.op("And", graph.op("Greater", values, level), graph.with_axes(found.there, 2, 3))
    for axis, (low, high) in _SIDES if within else ():
        centres = graph.cast(about.centres(axis), "FP32")
        start, end = (graph.cut(within, 2, n, n + 1) for n in (low, high))
        inside = graph.op("And", graph.op("GreaterOrEqual", centres, start), graph.op("LessOrEqual", centres, end))
        belongs = graph.op("And", belongs, graph.with_axes(inside, 3 if axis == HEIGHT else 2))
    return output(belongs, "masks", "BOOL", "objects", "height", "width")


def with_pixels(kept: Best, masks: str, about: FrontAbout) -> tuple[Best, str]:
    """Without the objects whose mask [n, k, height, width] is empty; the others move up, and their masks with them."""
    graph, most = about.graph, about.spec.most
    seen = graph.largest(graph.largest(graph.cast(masks, "FP32"), 3), 2)
    seen = graph.op("Pad", seen, np.array([0, 0, 0, most], np.int64), np.float32(0), mode="constant")
    seen = graph.cut(seen, 1, 0, most)
    scores = where(graph, graph.op("Greater", seen, np.float32(0)), kept.scores, np.float32(-1))
    scores, order = graph.op("TopK", scores, np.array([most], np.int64), axis=1, results=2)
    moved = {name: taken(graph, getattr(kept, name), order) for name in ("corners", "whole", "classes", "index")}
    kept = Best(scores=scores, there=graph.op("GreaterOrEqual", scores, np.float32(0)), **moved)
    count = graph.shape(kept.found(about).scores, 1, 2)
    first = graph.op("Slice", order, np.zeros(1, np.int64), count, np.ones(1, np.int64))
    return kept, taken(graph, masks, first)
