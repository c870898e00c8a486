"""A picture becomes a model's input, as `meaning.preprocess` does it, in ONNX operators.

Sides and places are computed in double precision, as there, so that they are the same to the pixel. ONNX's own Resize
is not used: ONNX Runtime's averages other pixels at the edges (`antialias`) than Pillow and PyTorch do, by up to 18 of
255, and without it reads a whole picture as FP32 where a few rows of bytes will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tritonpm.convert.front.graph import Graph
from tritonpm.core.tensors import numpy_dtype
from tritonpm.meaning.preprocess import LUMA
from tritonpm.meaning.spec import Preprocess

GEOMETRY = 8  # numbers: height and width of the picture, of the input, of a pixel's step, of the offset
_FLAT = np.array([0, 0, -1], np.int64)  # columns and channels as one: what is multiplied in long runs is fast
Pair = tuple[str, str]  # of scalars in double precision: along height, along width


@dataclass(frozen=True)
class Placed:
    """Where a picture lies in the input."""

    picture: Pair
    sides: Pair
    canvas: Pair
    offset: Pair


def prepared(graph: Graph, image: str, spec: Preprocess, name: str, dtypes: Mapping[str, str]) -> dict[str, str]:
    """The model's inputs by name, of UINT8 [n, height, width, 3]; "" is where the pictures lie, FP64 [n, GEOMETRY]."""
    at = _placed(graph, image, spec)
    pixels = _pasted(graph, _coloured(graph, _resized(graph, image, at, spec), spec.colour), at, spec.fill)
    made = {name: _laid_out(graph, pixels, spec, dtypes[name]), "": _told(graph, image, at)}
    for other, what in spec.geometry.items():
        value = _beside(graph, image, at, what)
        made[other] = graph.cast(value if spec.layout[0] == "N" else graph.without_axes(value, 0), dtypes[other])
    return made


def _double(value: float) -> np.float64:
    return np.float64(value)


def _placed(graph: Graph, image: str, spec: Preprocess) -> Placed:
    height, width = (graph.cast(graph.without_axes(graph.shape(image, axis, axis + 1), 0), "FP64") for axis in (1, 2))
    sides = _sides(graph, height, width, spec)
    zero = graph.constant(_double(0))
    if spec.size is None or spec.resize not in ("shortest-side", "letterbox", "height"):
        return Placed((height, width), sides, sides, (zero, zero))
    tall, wide = (graph.constant(_double(side)) for side in spec.size)
    canvas = (tall, graph.op("Max", wide, sides[1]) if spec.resize == "height" else wide)
    half = [
        graph.op("Mul", graph.op("Sub", room, side), _double(0.5)) for room, side in zip(canvas, sides, strict=True)
    ]
    if spec.resize == "shortest-side":
        offset = graph.op("Round", half[0]), graph.op("Round", half[1])
    elif spec.position == "centre":
        offset = graph.op("Floor", half[0]), graph.op("Floor", half[1])
    else:
        offset = zero, zero
    return Placed((height, width), sides, canvas, offset)


def _sides(graph: Graph, height: str, width: str, spec: Preprocess) -> Pair:
    if spec.resize == "none" or (spec.size is None and spec.shortest is None):
        return height, width
    if spec.resize == "shortest-side":
        return _shortest(graph, height, width, spec)
    assert spec.size is not None  # noqa: S101 (the spec has seen to it)
    tall, wide = (graph.constant(_double(side)) for side in spec.size)
    if spec.resize == "stretch":
        return tall, wide
    if spec.resize == "height":
        return tall, _least_one(graph, graph.op("Ceil", graph.op("Div", graph.op("Mul", width, tall), height)))
    ratio = graph.op("Min", graph.op("Div", tall, height), graph.op("Div", wide, width))
    ratio = _bounded(graph, ratio, spec)
    sides = [_least_one(graph, graph.op("Round", graph.op("Mul", side, ratio))) for side in (height, width)]
    return _multiple(graph, sides[0], spec), _multiple(graph, sides[1], spec)


def _shortest(graph: Graph, height: str, width: str, spec: Preprocess) -> Pair:
    short, long = graph.op("Min", height, width), graph.op("Max", height, width)
    shortest = graph.constant(_double(spec.shortest or 1))
    if spec.longest:
        stretched = graph.op("Mul", graph.op("Div", long, short), shortest)
        bounded = graph.op("Div", graph.op("Mul", _double(spec.longest), short), long)
        shortest = graph.op("Where", graph.op("Greater", stretched, _double(spec.longest)), bounded, shortest)
    shortest = graph.op("Mul", short, _bounded(graph, graph.op("Div", shortest, short), spec))
    one = _least_one(graph, graph.op("Round", shortest))
    longer = graph.op("Add", graph.op("Div", graph.op("Mul", shortest, long), short), _double(1e-9))
    other = _least_one(graph, graph.op("Floor", longer))
    upright = graph.op("LessOrEqual", height, width)
    sides = graph.op("Where", upright, one, other), graph.op("Where", upright, other, one)
    return _multiple(graph, sides[0], spec), _multiple(graph, sides[1], spec)


def _least_one(graph: Graph, side: str) -> str:
    return str(graph.op("Max", side, _double(1)))


def _bounded(graph: Graph, ratio: str, spec: Preprocess) -> str:
    if not spec.enlarge:
        ratio = graph.op("Min", ratio, _double(1))
    return ratio if spec.reduce else str(graph.op("Max", ratio, _double(1)))


def _multiple(graph: Graph, side: str, spec: Preprocess) -> str:
    if spec.multiple == 1 or spec.resize == "letterbox":
        return side
    times = graph.op("Ceil" if spec.multiple_above else "Round", graph.op("Div", side, _double(spec.multiple)))
    return str(graph.op("Mul", _least_one(graph, times), _double(spec.multiple)))


def _resized(graph: Graph, image: str, at: Placed, spec: Preprocess) -> str:
    """FP32 [n, tall, wide, 3]."""
    if at.sides == at.picture:
        return graph.cast(image, "FP32")
    if spec.interpolation == "area" or (spec.antialias and spec.interpolation != "nearest"):
        return _averaged(graph, image, at, spec.interpolation)
    taps = [_taps(graph, size, side, spec.interpolation) for size, side in zip(at.picture, at.sides, strict=True)]
    total = ""
    for row, share in taps[0]:
        line, pixels = "", graph.op("Gather", image, row, axis=1)
        for column, weight in taps[1]:
            part = graph.cast(graph.op("Gather", pixels, column, axis=2), "FP32")
            part = _weighted(graph, graph.op("Reshape", part, _FLAT), weight, 1, 3)
            line = graph.op("Add", line, part) if line else part
        line = _weighted(graph, line, share, 1, 1)
        total = graph.op("Add", total, line) if total else line
    return str(graph.op("Reshape", total, np.array([0, 0, -1, 3], np.int64)))


def _weighted(graph: Graph, pixels: str, weight: str, axis: int, times: int) -> str:
    """Times what each row or column counts, which is `times` values long; "" is 1."""
    if not weight:
        return pixels
    column = graph.with_axes(weight, axis)
    if times > 1:
        repeated = graph.op("Expand", column, np.array([1, times], np.int64))
        column = graph.op("Reshape", repeated, np.array([-1], np.int64))
    return str(graph.op("Mul", pixels, column))


def _taps(graph: Graph, size: str, side: str, interpolation: str) -> list[tuple[str, str]]:
    """For each pixel that is wanted those it is made of, and the weight of each: (INT64 [side], FP32 [side])."""
    centres = _centres(graph, size, side)
    last = graph.op("Sub", size, _double(1))
    if interpolation == "nearest":
        return [(graph.cast(graph.op("Min", graph.op("Floor", centres), last), "INT64"), "")]
    places = graph.op("Sub", centres, _double(0.5))
    low = graph.op("Floor", places)
    share = graph.op("Sub", places, low)
    made = []
    for step in (0, 1) if interpolation == "bilinear" else (-1, 0, 1, 2):
        distance = graph.op("Abs", graph.op("Sub", share, _double(step)))
        weight = graph.op("Sub", _double(1), distance) if interpolation == "bilinear" else _cubic(graph, distance, step)
        index = graph.op("Add", low, _double(step))
        index = graph.op("Max", graph.op("Min", index, last), _double(0))
        made.append((graph.cast(index, "INT64"), graph.cast(weight, "FP32")))
    return made


def _cubic(graph: Graph, x: str, step: int, a: float = -0.75) -> str:
    """Keys' kernel: of the two pixels beside a place, and of the two further away."""
    terms = (a + 2, -(a + 3), 0.0, 1.0) if step in (0, 1) else (a, -5 * a, 8 * a, -4 * a)
    value = graph.constant(_double(terms[0]))
    for term in terms[1:]:
        value = graph.op("Add", graph.op("Mul", value, x), _double(term))
    return value


def _averaged(graph: Graph, image: str, at: Placed, interpolation: str) -> str:
    """Each pixel is the mean of those under its kernel: of the rows only those are read, columns are a product."""
    tall = graph.with_axes(graph.cast(at.sides[0], "INT64"), 0)
    first, reach = _window(graph, at.picture[0], at.sides[0], interpolation)
    index = graph.op("Add", graph.with_axes(first, 1), graph.with_axes(reach, 0))
    weights = graph.with_axes(_weights(graph, index, at.picture[0], at.sides[0], interpolation), 1)
    last = graph.op("Sub", at.picture[0], _double(1))
    index = graph.cast(graph.op("Max", graph.op("Min", index, last), _double(0)), "INT64")
    rows = graph.op("Gather", image, index, axis=1)  # [n, tall, window, width, 3]
    rows = graph.cast(graph.op("Reshape", rows, np.array([0, 0, 0, -1], np.int64)), "FP32")
    shape = graph.op("Concat", graph.shape(image, 0, 1), tall, np.array([-1, 3], np.int64), axis=0)
    rows = graph.op("Reshape", graph.op("MatMul", weights, rows), shape)
    everything = graph.with_axes(graph.cast(graph.counted(graph.shape(image, 2, 3)), "FP64"), 0)
    columns = _weights(graph, everything, at.picture[1], at.sides[1], interpolation)
    planes = graph.op("Transpose", rows, perm=[0, 3, 1, 2])
    planes = graph.op("MatMul", planes, graph.op("Transpose", columns, perm=[1, 0]))
    return str(graph.op("Transpose", planes, perm=[0, 2, 3, 1]))


def _centres(graph: Graph, size: str, side: str) -> str:
    """Where the middle of each pixel that is wanted lies in the picture."""
    wanted = graph.cast(graph.counted(graph.with_axes(graph.cast(side, "INT64"), 0)), "FP64")
    return str(graph.op("Mul", graph.op("Add", wanted, _double(0.5)), graph.op("Div", size, side)))


def _half(graph: Graph, size: str, side: str, interpolation: str) -> str:
    """How far a kernel reaches."""
    support = {"area": 0.5, "bilinear": 1.0, "bicubic": 2.0}[interpolation]
    stretched = graph.op("Max", graph.op("Div", size, side), _double(1))
    return str(graph.op("Mul", stretched, _double(support)))


def _window(graph: Graph, size: str, side: str, interpolation: str) -> tuple[str, str]:
    """The first pixel under each kernel, and the whole numbers up to the last."""
    half = _half(graph, size, side, interpolation)
    first = graph.op("Floor", graph.op("Sub", _centres(graph, size, side), half))
    count = graph.op("Add", graph.op("Ceil", graph.op("Mul", half, _double(2))), _double(2))
    return first, graph.cast(graph.counted(graph.with_axes(graph.cast(count, "INT64"), 0)), "FP64")


def _weights(graph: Graph, pixels: str, size: str, side: str, interpolation: str) -> str:
    """The share that pixels [wanted or 1, n] have in each that is wanted: FP32 [wanted, n]; none beyond the edge."""
    centres = graph.with_axes(_centres(graph, size, side), 1)
    if interpolation == "area":
        half = _half(graph, size, side, interpolation)
        low = graph.op("Max", graph.op("Sub", centres, half), _double(0))
        high = graph.op("Min", graph.op("Add", centres, half), size)
        start = graph.op("Max", low, pixels)
        end = graph.op("Min", high, graph.op("Add", pixels, _double(1)))
        share = graph.op("Max", graph.op("Sub", end, start), _double(0))
    else:
        stretched = graph.op("Max", graph.op("Div", size, side), _double(1))
        distance = graph.op("Sub", graph.op("Add", pixels, _double(0.5)), centres)
        distance = graph.op("Abs", graph.op("Div", distance, stretched))
        share = graph.op("Max", graph.op("Sub", _double(1), distance), _double(0))
        if interpolation == "bicubic":
            far = graph.op(
                "Where", graph.op("Less", distance, _double(2)), _cubic(graph, distance, 2, -0.5), _double(0)
            )
            near = _cubic(graph, distance, 0, -0.5)
            share = graph.op("Where", graph.op("Less", distance, _double(1)), near, far)
        inside = graph.op("And", graph.op("GreaterOrEqual", pixels, _double(0)), graph.op("Less", pixels, size))
        share = graph.op("Where", inside, share, _double(0))
    whole = graph.op("ReduceSum", share, np.array([1], np.int64), keepdims=1)
    return graph.cast(graph.op("Div", share, whole), "FP32")


def _coloured(graph: Graph, pixels: str, colour: str) -> str:
    if colour == "GRAY":
        return str(graph.op("MatMul", pixels, LUMA[:, np.newaxis]))
    return str(graph.op("Gather", pixels, np.array([2, 1, 0], np.int64), axis=3)) if colour == "BGR" else pixels


def _pasted(graph: Graph, pixels: str, at: Placed, fill: float) -> str:
    """On a canvas, cut where the picture is beyond it."""
    if at.canvas == at.sides:
        return pixels
    after = [
        graph.op("Sub", graph.op("Sub", room, side), start)
        for room, side, start in zip(at.canvas, at.sides, at.offset, strict=True)
    ]
    zero = graph.constant(np.zeros(1, np.int64))
    pads = [graph.with_axes(graph.cast(one, "INT64"), 0) for one in (*at.offset, *after)]
    return str(
        graph.op("Pad", pixels, graph.op("Concat", zero, *pads[:2], zero, zero, *pads[2:], zero, axis=0),
                 np.float32(fill), mode="constant")
    )  # fmt: skip


def _laid_out(graph: Graph, pixels: str, spec: Preprocess, dtype: str) -> str:
    mean, std = (np.array(value, np.float32) for value in (spec.mean, spec.std))
    if spec.scale != 1:
        pixels = graph.op("Mul", pixels, np.float32(spec.scale))
    if mean.any():
        pixels = graph.op("Sub", pixels, mean)
    if (std != 1).any():
        pixels = graph.op("Div", pixels, std)
    if spec.layout.endswith("CHW"):
        pixels = graph.op("Transpose", pixels, perm=[0, 3, 1, 2])
    if (kind := numpy_dtype(dtype)).kind in "iu":
        limits = np.iinfo(kind)
        pixels = graph.op("Clip", graph.op("Round", pixels), np.float32(limits.min), np.float32(limits.max))
    pixels = graph.cast(pixels, dtype) if dtype != "FP32" else pixels
    return pixels if spec.layout[0] == "N" else graph.without_axes(pixels, 0)


def _told(graph: Graph, image: str, at: Placed) -> str:
    """FP64 [n, GEOMETRY]."""
    steps = tuple(graph.op("Div", side, size) for side, size in zip(at.sides, at.picture, strict=True))
    return _rows(graph, image, *at.picture, *at.canvas, *steps, *at.offset)


def _rows(graph: Graph, image: str, *numbers: str) -> str:
    """The same numbers for each picture."""
    row = graph.op("Concat", *(graph.with_axes(one, 0) for one in numbers), axis=0)
    shape = graph.op("Concat", graph.shape(image, 0, 1), np.array([len(numbers)], np.int64), axis=0)
    return str(graph.op("Expand", row, shape))


def _beside(graph: Graph, image: str, at: Placed, what: str) -> str:
    """What an input beside the picture is told."""
    if what == "pixel-mask":
        sizes = [graph.with_axes(graph.cast(side, "INT64"), 0) for side in at.sides]
        shape = graph.op("Concat", graph.shape(image, 0, 1), *sizes, np.ones(1, np.int64), axis=0)
        return graph.without_axes(_pasted(graph, graph.op("Expand", np.ones(1, np.float32), shape), at, 0.0), 3)
    steps = tuple(graph.op("Div", side, size) for side, size in zip(at.sides, at.picture, strict=True))
    told = {"input-size": at.canvas, "picture-size": at.picture, "picture-size-wh": at.picture[::-1]}
    return _rows(graph, image, *told.get(what, steps))
