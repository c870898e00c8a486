"""Connected areas of maps of yes and no, and the smallest rectangle around each, in ONNX operators.

As `meaning.decode.areas` finds them, over a whole batch: an area is made of runs (pixels of a row side by side), and
runs that touch are one. Where nothing is found there is still one area, of no picture: operators stumble over nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tritonpm.convert.front.about import where
from tritonpm.convert.front.graph import Graph
from tritonpm.meaning.decode.areas import SAME_AREA

# Directions (x, y) all around in which the outermost point of an area is looked for first.
_DIRECTIONS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.int64)
_ROUNDS = 6  # of looking for further corners of the hull between two: up to 256
_FAR = np.int64(2**62)


@dataclass(frozen=True)
class Runs:
    """INT64 [r] each: the picture, the row, the first column, one past the last; and the sum of their values, FP64."""

    picture: str
    row: str
    start: str
    end: str
    total: str

    def only(self, graph: Graph, index: str) -> Runs:
        """Those that an index names."""
        return Runs(*(graph.op("Gather", getattr(self, name), index) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Areas:
    """Of each area the picture INT64 [c] and the mean of its values FP64 [c], -1 for the last one, which is none.

    `runs` are those of these areas, and `owner` INT64 [r] says of which each is.
    """

    picture: str
    score: str
    runs: Runs
    owner: str


@dataclass(frozen=True)
class Rectangles:
    """The smallest around each area: FP64 [c] each. Along (x, y) and across (-y, x) it reaches from `low` to `high`."""

    x: str
    y: str
    low: tuple[str, str]
    high: tuple[str, str]


def areas(graph: Graph, values: str, threshold: np.float32, score: float, side: float) -> Areas:
    """Of maps FP32 [n, h, w] where they are above the threshold; pixels that touch at a corner are of one.

    Left out are those whose mean is below `score`, and those that are narrower than `side` from left to right or from
    top to bottom: of an area of whole pixels, so is its rectangle.
    """
    runs, first, second = _runs(graph, values, threshold)
    name = _joined(graph, first, second, graph.shape(runs.row, 0, 1))
    numbers = graph.counted(graph.shape(runs.row, 0, 1))
    owner, count = _renumbered(graph, graph.op("Equal", name, numbers), name)

    def of_all(start: np.int64 | np.float64, each: str, reduction: str) -> str:
        whole = graph.op("Expand", start, count)
        return str(graph.op("ScatterElements", whole, owner, each, axis=0, reduction=reduction))

    width = graph.op("Sub", runs.end, runs.start)
    pixels = graph.cast(of_all(np.int64(0), width, "add"), "FP64")
    mean = graph.op("Div", of_all(np.float64(0), runs.total, "add"), pixels)
    spans = [
        graph.op("Sub", of_all(-_FAR, last, "max"), of_all(_FAR, first, "min"))
        for first, last in ((runs.start, runs.end), (runs.row, graph.op("Add", runs.row, np.int64(1))))
    ]
    large = graph.op("GreaterOrEqual", graph.op("Min", *spans), np.int64(np.ceil(side)))
    counts = graph.op("And", large, graph.op("GreaterOrEqual", mean, np.float64(score)))
    last = graph.op("Equal", graph.counted(count), graph.op("Sub", count, np.int64(1)))
    counts, mean = graph.op("Or", counts, last), where(graph, last, np.float64(-1), mean)
    kept = _indices(graph, counts)
    picture = graph.op("Gather", of_all(_FAR, runs.picture, "min"), kept)
    of_kept = _indices(graph, graph.op("Gather", counts, owner))
    owner, _ = _renumbered(graph, counts, graph.op("Gather", owner, of_kept))
    return Areas(picture, graph.op("Gather", mean, kept), runs.only(graph, of_kept), owner)


def _runs(graph: Graph, values: str, threshold: np.float32) -> tuple[Runs, str, str]:
    """All runs, the last of which is none; and the numbers of two that touch, in two vectors."""
    there = graph.op("Greater", values, threshold)
    around = graph.op("Pad", there, np.array([0, 0, 1, 0, 1, 1], np.int64), np.bool_(False), mode="constant")
    begins = _all(graph, there, _not(graph, _beside(graph, around, 0, -1)))
    start = _indices(graph, begins)
    end = _indices(graph, _all(graph, there, _not(graph, _beside(graph, around, 0, 1))))
    height, width = (graph.shape(values, axis, axis + 1) for axis in (1, 2))
    rows, exact = graph.op("Div", start, width), _flat(graph, graph.cast(values, "FP64"))
    sums = graph.op("CumSum", where(graph, _flat(graph, there), exact, np.float64(0)), np.int64(0))
    before = graph.op("Sub", graph.op("Gather", sums, start), graph.op("Gather", exact, start))
    columns = (
        (graph.op("Div", rows, height), 0),
        (graph.op("Mod", rows, height), 0),
        (graph.op("Mod", start, width), 0),
        (graph.op("Add", graph.op("Mod", end, width), np.int64(1)), 1),
    )
    runs = [graph.op("Concat", one, np.array([last], np.int64), axis=0) for one, last in columns]
    total = graph.op("Concat", graph.op("Sub", graph.op("Gather", sums, end), before), np.zeros(1), axis=0)
    number = graph.op("CumSum", _flat(graph, graph.cast(begins, "INT64")), np.int64(0))
    number = graph.op("Sub", number, np.int64(1))
    nobody = graph.shape(start, 0, 1)
    picture, row, first, last = runs
    return Runs(picture, row, first, last, total), *_touching(graph, around, there, number, width, nobody)


def _touching(graph: Graph, around: str, there: str, number: str, width: str, nobody: str) -> tuple[str, str]:
    """The numbers of runs that touch: of two one pair of pixels is enough, the first, or that of two corners."""
    left, right, below = (_beside(graph, around, *place) for place in ((0, -1), (0, 1), (1, 0)))
    aslant = {aside: _beside(graph, around, 1, aside) for aside in (-1, 1)}
    pairs = (
        (_all(graph, there, below, _not(graph, _all(graph, left, aslant[-1]))), 0),
        (_all(graph, there, aslant[-1], _not(graph, below), _not(graph, left)), -1),
        (_all(graph, there, aslant[1], _not(graph, below), _not(graph, right)), 1),
    )
    first, second = [nobody], [nobody]
    for condition, aside in pairs:
        upper = _indices(graph, condition)
        lower = graph.op("Add", graph.op("Add", upper, width), np.int64(aside))
        first.append(graph.op("Gather", number, upper))
        second.append(graph.op("Gather", number, lower))
    return graph.op("Concat", *first, axis=0), graph.op("Concat", *second, axis=0)


def _beside(graph: Graph, around: str, down: int, right: int) -> str:
    """Of each pixel the one beside it, of maps with a frame but for their upper edge."""
    rows = graph.cut(around, 1, down, None if down else -1)
    return graph.cut(rows, 2, 1 + right, (right - 1) or None)


def _all(graph: Graph, one: str, *others: str) -> str:
    for other in others:
        one = graph.op("And", one, other)
    return one


def _not(graph: Graph, one: str) -> str:
    return str(graph.op("Not", one))


def _flat(graph: Graph, one: str) -> str:
    return str(graph.op("Reshape", one, np.array([-1], np.int64)))


def _joined(graph: Graph, first: str, second: str, count: str) -> str:
    """INT64 [count]: of each run the first one of its area. Runs `first` and `second` touch, pair by pair.

    FastSV (Zhang, Azad, Hu, "FastSV", SIAM PP 2020): each takes the least name that it and its neighbours know, until
    nothing changes. That is after few rounds, since names are handed on along what was joined already.
    """
    one = graph.op("Concat", first, second, axis=0)
    other = graph.op("Concat", second, first, axis=0)
    inner = Graph(f"{graph.prefix}areas/", graph.opset)
    state = f"{inner.prefix}names"
    known = inner.op("Gather", state, state)
    heard = inner.op("Gather", known, other)
    now = inner.op("ScatterElements", state, inner.op("Gather", state, one), heard, axis=0, reduction="min")
    now = inner.op("ScatterElements", now, one, heard, axis=0, reduction="min")
    now = inner.op("Min", now, known)
    changed = inner.cast(inner.op("Not", inner.op("Equal", now, state)), "INT32")
    again = inner.cast(inner.op("ReduceMax", changed, keepdims=0), "BOOL")
    body = inner.body(state, now, again)
    return str(graph.op("Loop", graph.without_axes(count, 0), np.bool_(True), graph.counted(count), body=body))


def _indices(graph: Graph, condition: str) -> str:
    """Where it holds, all in one row."""
    return _flat(graph, graph.op("NonZero", _flat(graph, condition)))


def _renumbered(graph: Graph, kept: str, names: str) -> tuple[str, str]:
    """Names of what is kept as numbers without gaps, and how many there are (a vector of one)."""
    numbers = graph.op("CumSum", graph.cast(kept, "INT64"), np.int64(0))
    count = graph.cut(numbers, 0, -1)
    return str(graph.op("Sub", graph.op("Gather", numbers, names), np.int64(1))), count


@dataclass(frozen=True)
class _Points:
    """The corners of the pixels at the ends of runs, INT64 [p] each; of how many areas, a vector of one."""

    x: str
    y: str
    owner: str
    count: str


def rectangles(graph: Graph, found: Areas) -> Rectangles:
    """The one of the least area: a side of it lies along the hull."""
    runs, count = found.runs, graph.shape(found.score, 0, 1)
    below = graph.op("Add", runs.row, np.int64(1))
    x = graph.op("Concat", runs.start, runs.end, runs.start, runs.end, axis=0)
    y = graph.op("Concat", runs.row, runs.row, below, below, axis=0)
    points = _Points(x, y, graph.op("Concat", *[found.owner] * 4, axis=0), count)
    ux, uy = _best(graph, _hull(graph, points), points)
    own = [graph.op("Gather", one, points.owner) for one in (ux, uy)]
    x, y = graph.cast(x, "FP64"), graph.cast(y, "FP64")
    along = graph.op("Add", graph.op("Mul", x, own[0]), graph.op("Mul", y, own[1]))
    across = graph.op("Sub", graph.op("Mul", y, own[0]), graph.op("Mul", x, own[1]))

    def furthest(one: str, start: float, reduction: str) -> str:
        whole = graph.op("Expand", np.float64(start), count)
        return str(graph.op("ScatterElements", whole, points.owner, one, axis=0, reduction=reduction))

    low = furthest(along, np.inf, "min"), furthest(across, np.inf, "min")
    return Rectangles(ux, uy, low, (furthest(along, -np.inf, "max"), furthest(across, -np.inf, "max")))


def _hull(graph: Graph, points: _Points) -> str:
    """INT64 [k, c]: the corners of each area's hull in turn, as numbers of points; the same one may come again.

    As Quickhull finds them: between two the one that lies furthest out, until there is none.
    """
    shape = graph.op("Concat", np.array([len(_DIRECTIONS)], np.int64), points.count, axis=0)
    towards = [graph.op("Expand", _DIRECTIONS[:, axis, np.newaxis], shape) for axis in (0, 1)]
    nobody = graph.op("Expand", np.int64(0), shape)
    first = _outermost(graph, points, towards[0], towards[1], nobody)
    inner = Graph(f"{graph.prefix}hull/", graph.opset)
    state = f"{inner.prefix}corners"
    x, y = ((inner.op("Gather", one, state), one) for one in (points.x, points.y))
    sides = [inner.op("Sub", _next(inner, one), one) for one, _ in (x, y)]
    outward = sides[1], inner.op("Neg", sides[0])
    between = _outermost(inner, points, outward[0], outward[1], state)
    gained = [
        inner.op("Mul", inner.op("Sub", inner.op("Gather", whole, between), one), out)
        for (one, whole), out in zip((x, y), outward, strict=True)
    ]
    further = inner.cast(inner.op("Greater", inner.op("Add", *gained), np.int64(0)), "INT32")
    pairs = inner.op("Concat", inner.with_axes(state, 1), inner.with_axes(between, 1), axis=1)
    both = inner.op("Reshape", pairs, inner.op("Concat", np.array([-1], np.int64), points.count, axis=0))
    again = inner.cast(inner.op("ReduceMax", further, keepdims=0), "BOOL")
    body = inner.body(state, both, again)
    return str(graph.op("Loop", np.int64(_ROUNDS), np.bool_(True), first, body=body))


def _next(graph: Graph, rows: str) -> str:
    """Each row's next one, and the last one's the first."""
    return str(graph.op("Concat", graph.cut(rows, 0, 1), graph.cut(rows, 0, 0, 1), axis=0))


def _outermost(graph: Graph, points: _Points, x: str, y: str, now: str) -> str:
    """INT64 [k, c]: which point of each area lies furthest out in directions [k, c]; where one is none, that of `now`.

    How far out it is and its number are one INT64. One direction is done after another, since points are many.
    """
    count = graph.shape(points.x, 0, 1)
    numbers, nothing = graph.counted(count), graph.op("Expand", -_FAR, points.count)
    inner = Graph(f"{graph.prefix}outermost/", graph.opset)
    dx, dy, own = (f"{inner.prefix}{name}" for name in ("dx", "dy", "now"))
    towards = [inner.op("Gather", one, points.owner) for one in (dx, dy)]
    reach = inner.op("Add", inner.op("Mul", points.x, towards[0]), inner.op("Mul", points.y, towards[1]))
    key = inner.op("Add", inner.op("Mul", reach, count), numbers)
    best = inner.op("ScatterElements", nothing, points.owner, key, axis=0, reduction="max")
    none = inner.op("Equal", inner.op("Add", inner.op("Abs", dx), inner.op("Abs", dy)), np.int64(0))
    where(inner, none, own, inner.op("Mod", best, count))
    body = inner.each({dx: "INT64", dy: "INT64", own: "INT64"}, "INT64")
    return str(graph.op("Scan", x, y, now, body=body, num_scan_inputs=3))


def _best(graph: Graph, hull: str, points: _Points) -> tuple[str, str]:
    """The direction (x, y) of that side of the hull along which the smallest rectangle lies, FP64 [c] each."""
    corners = [graph.cast(graph.op("Gather", one, hull), "FP64") for one in (points.x, points.y)]
    sides = [graph.op("Sub", _next(graph, one), one) for one in corners]
    length = graph.op("Sqrt", graph.op("Add", *(graph.op("Mul", one, one) for one in sides)))
    point = graph.op("Equal", length, np.float64(0))  # the same corner again
    length = where(graph, point, np.float64(1), length)
    ux, uy = where(graph, point, np.float64(1), graph.op("Div", sides[0], length)), graph.op("Div", sides[1], length)
    sizes = _sizes(graph, corners, ux, uy)
    least = graph.op("ReduceMin", sizes, np.zeros(1, np.int64), keepdims=1)
    more = graph.op("Mul", least, np.float64(SAME_AREA))  # 1 + SAME_AREA times is once to ONNX Runtime
    quarter = graph.op("Sign", graph.op("Mul", ux, uy))
    turned = where(graph, graph.op("Greater", quarter, np.float64(0)), uy, ux)
    turned = graph.op("Abs", graph.op("Mul", turned, quarter))
    turned = where(graph, graph.op("LessOrEqual", graph.op("Sub", sizes, least), more), turned, np.float64(2))
    best = graph.op("ArgMin", turned, axis=0, keepdims=1)
    x, y = (graph.without_axes(graph.op("GatherElements", one, best, axis=0), 0) for one in (ux, uy))
    return x, y


def _sizes(graph: Graph, corners: list[str], along: str, across: str) -> str:
    """FP64 [k, c]: how large the rectangle is that lies along each side."""
    inner = Graph(f"{graph.prefix}sizes/", graph.opset)
    ux, uy = f"{inner.prefix}along", f"{inner.prefix}across"
    spans = []
    for one, other, kind in ((ux, uy, "Add"), (uy, ux, "Sub")):
        reach = inner.op(kind, inner.op("Mul", corners[0], one), inner.op("Mul", corners[1], other))
        spans.append(inner.op("Sub", inner.largest(reach, 0), inner.least(reach, 0)))
    inner.op("Mul", *spans)
    body = inner.each({ux: "FP64", uy: "FP64"}, "FP64")
    return str(graph.op("Scan", along, across, body=body, num_scan_inputs=2))
