"""A picture becomes a model's input, as `meaning.preprocess` does it, in ONNX operators.

Sides and places are computed in double precision, as there, so that they are the same to the pixel. ONNX's own Resize
is not used: ONNX Runtime's averages other pixels at the edges (`antialias`) than Pillow and PyTorch do, by up to 18 of
255, and without it reads a whole picture as FP32 where a few rows of bytes will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tritonpm.convert.front.graph import Graph
from tritonpm.core.tensors import numpy_dtype
from tritonpm.meaning.preprocess import LUMA
from tritonpm.meaning.spec import Preprocess

MASK = "pixel-mask"  # told of the picture's own sides, which its place does not hold
BLOCK = 8  # pixels that are averaged together: of more, more of the weights are 0
GEOMETRY = 8  # numbers: height and width of the picture, of the input, of a pixel's step, of the offset
Pair = tuple[str, str]  # of scalars in double precision: along height, along width


@dataclass(frozen=True)
class Placed:
    """Where a picture lies in the input."""

    picture: Pair
    sides: Pair
    canvas: Pair
    offset: Pair


def prepared(
    graph: Graph, image: str, spec: Preprocess, name: str, dtypes: Mapping[str, str], places: str = ""
) -> dict[str, str]:
    """The model's inputs by name, of UINT8 [n, height, width, 3]; "" is where the pictures lie, FP64 [n, GEOMETRY].

    With `places`, which are that, the pictures are resized and on their canvas already.
    """
    if places:
        at, pixels = None, graph.op("Transpose", graph.cast(image, "FP32"), perm=[0, 3, 1, 2])
        pixels = _coloured(graph, pixels, spec.colour)
    else:
        at = _placed(graph, image, spec)
        pixels = _pasted(graph, _coloured(graph, _resized(graph, image, at, spec), spec.colour), at, spec.fill)
        places = _told(graph, image, at)
    made = {name: _laid_out(graph, pixels, spec, dtypes[name]), "": places}
    for other, what in spec.geometry.items():
        value = _mask(graph, image, at) if what == MASK and at else _beside(graph, places, what)
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
    """FP32 [n, 3, tall, wide], without what is cut off."""
    if at.sides == at.picture:
        return str(graph.op("Transpose", graph.cast(image, "FP32"), perm=[0, 3, 1, 2]))
    kernel = _kernel(spec)
    if kernel.mean:
        return _averaged(graph, image, at, kernel, cut=spec.resize == "shortest-side" and spec.size is not None)
    return _interpolated(graph, image, at, kernel)


@dataclass(frozen=True)
class Kernel:
    """What a pixel is made of: `support` is how far it reaches, in pixels of the picture or, `mean`, of the result."""

    shape: str  # nearest, bilinear, bicubic, area
    mean: bool

    @property
    def support(self) -> float:
        """Half of its width."""
        return {"nearest": 0.0, "area": 0.5, "bilinear": 1.0, "bicubic": 2.0}[self.shape]

    @property
    def taps(self) -> int:
        """Of how many pixels each is made, where they are not averaged."""
        return max(1, int(2 * self.support))


def _kernel(spec: Preprocess) -> Kernel:
    averages = spec.antialias and spec.interpolation != "nearest"
    return Kernel(spec.interpolation, spec.interpolation == "area" or averages)


@dataclass(frozen=True)
class Wanted:
    """Pixels that are wanted along an axis: those that they are made of, INT64 [m, k], and their weights, FP32.

    Interpolated, m are the wanted ones, and the weights [m, k]. Averaged, m are blocks of BLOCK of them, which share
    the k that they are made of; the weights are [m, BLOCK, k], and `count` is how many are wanted in all.
    """

    index: str
    weights: str
    count: str = ""


def _interpolated(graph: Graph, image: str, at: Placed, kernel: Kernel) -> str:
    """Of a fixed number of pixels: only those are read, and as bytes until a row has its new length."""
    rows, columns = (_taps(graph, at, axis, kernel) for axis in (0, 1))
    read = graph.op("Gather", image, graph.op("Reshape", rows.index, np.array([-1], np.int64)), axis=1)
    parts = []
    for tap in range(kernel.taps):
        index = graph.without_axes(graph.cut(columns.index, 1, tap, tap + 1), 1)
        part = graph.cast(graph.op("Gather", read, index, axis=2), "FP32")  # [n, tall · taps, wide, 3]
        if kernel.taps > 1:  # a weight for each colour: what is multiplied lies side by side
            weights = graph.op("Expand", graph.cut(columns.weights, 1, tap, tap + 1), np.array([1, 3], np.int64))
            part = graph.op("Mul", part, weights)
        parts.append(part)
    wide = parts[0]
    for part in parts[1:]:
        wide = graph.op("Add", wide, part)
    if kernel.taps > 1:
        length = graph.op("Mul", graph.shape(wide, 2, 3), np.int64(3))
        shape = graph.op("Concat", np.array([0, -1, kernel.taps], np.int64), length, axis=0)
        wide = graph.op("MatMul", graph.with_axes(rows.weights, 1), graph.op("Reshape", wide, shape))
        wide = graph.op("Reshape", wide, np.array([0, 0, -1, 3], np.int64))
    return str(graph.op("Transpose", wide, perm=[0, 3, 1, 2]))


def _averaged(graph: Graph, image: str, at: Placed, kernel: Kernel, *, cut: bool) -> str:
    """Of all pixels, first along the height, then along the width, which is made rows for it.

    What is read and multiplied lies in long runs.
    """
    rows, columns = (_windows(graph, at, axis, kernel) for axis in (0, 1))
    if cut:  # what is cut off need not be read
        first = graph.op("ReduceMin", columns.index, keepdims=0)
        end = graph.op("Add", graph.op("ReduceMax", columns.index, keepdims=0), np.int64(1))
        bounds = graph.with_axes(first, 0), graph.with_axes(end, 0), np.array([2], np.int64)
        image = graph.op("Slice", image, *bounds)
        columns = replace(columns, index=graph.op("Sub", columns.index, first))
    tall = _mean(graph, image, rows)  # [n, tall, width · 3]
    tall = graph.op("Reshape", tall, np.array([0, 0, -1, 3], np.int64))
    turned = graph.op("Transpose", tall, perm=[0, 2, 3, 1])  # [n, width, 3, tall]
    wide = _mean(graph, turned, columns)
    wide = graph.op("Reshape", wide, np.array([0, 0, 3, -1], np.int64))
    wide = graph.op("Transpose", wide, perm=[0, 2, 3, 1])
    ends = graph.op("Concat", rows.count, columns.count, axis=0)
    return str(graph.op("Slice", wide, np.array([0, 0], np.int64), ends, np.array([2, 3], np.int64)))


def _mean(graph: Graph, values: str, wanted: Wanted) -> str:
    """The second axis averaged, in whole blocks, and those behind it as one: FP32 [n, blocks · BLOCK, …]."""
    flat = graph.op("Reshape", values, np.array([0, 0, -1], np.int64))
    parts = graph.cast(graph.op("Gather", flat, wanted.index, axis=1), "FP32")  # [n, blocks, read, …]
    made = graph.op("MatMul", wanted.weights, parts)
    shape = graph.op("Concat", np.array([0, -1], np.int64), graph.shape(flat, 2, 3), axis=0)
    return str(graph.op("Reshape", made, shape))


def _bounds(graph: Graph, at: Placed, axis: int) -> tuple[str, str, str, str]:
    """Along one axis: where what is not cut off begins and ends, the picture's size, and how much of it a pixel is."""
    size, side, room, offset = (pair[axis] for pair in (at.picture, at.sides, at.canvas, at.offset))
    start = graph.op("Max", graph.op("Neg", offset), _double(0))
    end = graph.op("Min", side, graph.op("Sub", room, offset))
    return start, end, size, graph.op("Div", size, side)


def _taps(graph: Graph, at: Placed, axis: int, kernel: Kernel) -> Wanted:
    """Between pixels: the same number of them everywhere."""
    start, end, size, ratio = _bounds(graph, at, axis)
    last = graph.op("Sub", size, _double(1))
    steps = graph.op("Range", start, end, _double(1))
    centres = graph.with_axes(graph.op("Mul", graph.op("Add", steps, _double(0.5)), ratio), 1)
    if kernel.shape == "nearest":
        return Wanted(graph.cast(graph.op("Min", graph.op("Floor", centres), last), "INT64"), "")
    first = graph.op("Floor", graph.op("Sub", centres, _double(0.5)))
    first = graph.op("Sub", first, _double(kernel.support - 1))
    pixels = graph.op("Add", first, np.arange(kernel.taps, dtype=np.float64))
    share = _shares(graph, pixels, centres, graph.constant(_double(1)), size, kernel)
    return Wanted(_within(graph, pixels, last), _normal(graph, share, 1))


def _windows(graph: Graph, at: Placed, axis: int, kernel: Kernel) -> Wanted:
    """Of all pixels: in blocks, so that what is read overlaps little, and a block's mean is one product of matrices."""
    start, end, size, ratio = _bounds(graph, at, axis)
    last, count = graph.op("Sub", size, _double(1)), graph.op("Sub", end, start)
    blocks = graph.op("Range", _double(0), graph.op("Ceil", graph.op("Div", count, _double(BLOCK))), _double(1))
    firsts = graph.with_axes(graph.op("Add", graph.op("Mul", blocks, _double(BLOCK)), start), 1)
    centres = graph.op("Mul", graph.op("Add", firsts, np.arange(BLOCK) + 0.5), ratio)  # [blocks, BLOCK]
    stretched = graph.op("Max", ratio, _double(1))
    half = graph.op("Mul", stretched, _double(kernel.support))
    read = graph.op("Add", graph.op("Mul", ratio, _double(BLOCK - 1)), graph.op("Mul", half, _double(2)))
    read = graph.op("Add", graph.op("Ceil", read), _double(1))
    begin = graph.op("Floor", graph.op("Sub", graph.cut(centres, 1, 0, 1), half))
    pixels = graph.op("Add", begin, graph.op("Range", _double(0), read, _double(1)))  # [blocks, read]
    ends = graph.with_axes(pixels, 1), graph.with_axes(centres, 2)
    share = _shares(graph, *ends, stretched, size, kernel)
    weights = _normal(graph, share, 2)
    return Wanted(_within(graph, pixels, last), weights, graph.with_axes(graph.cast(count, "INT64"), 0))


def _within(graph: Graph, pixels: str, last: str) -> str:
    """Pixels beyond an edge are the one at it."""
    return graph.cast(graph.op("Max", graph.op("Min", pixels, last), _double(0)), "INT64")


def _normal(graph: Graph, share: str, axis: int) -> str:
    """Weights that are one together."""
    whole = graph.op("ReduceSum", share, np.array([axis], np.int64), keepdims=1)
    return graph.cast(graph.op("Div", share, whole), "FP32")


def _shares(graph: Graph, pixels: str, centres: str, stretched: str, size: str, kernel: Kernel) -> str:
    """What each pixel counts, before all of a window are made one."""
    if kernel.shape == "area":
        half = graph.op("Mul", stretched, _double(0.5))
        low = graph.op("Max", graph.op("Sub", centres, half), _double(0))
        high = graph.op("Min", graph.op("Add", centres, half), size)
        end = graph.op("Min", high, graph.op("Add", pixels, _double(1)))
        return str(graph.op("Max", graph.op("Sub", end, graph.op("Max", low, pixels)), _double(0)))
    distance = graph.op("Sub", graph.op("Add", pixels, _double(0.5)), centres)
    distance = graph.op("Abs", graph.op("Div", distance, stretched))
    share = graph.op("Max", graph.op("Sub", _double(1), distance), _double(0))
    if kernel.shape == "bicubic":
        share = _cubic(graph, distance, -0.5 if kernel.mean else -0.75)
    if not kernel.mean:
        return str(share)
    inside = graph.op("And", graph.op("GreaterOrEqual", pixels, _double(0)), graph.op("Less", pixels, size))
    return str(graph.op("Where", inside, share, _double(0)))  # what is beyond the edge has no part in the mean


def _cubic(graph: Graph, x: str, a: float) -> str:
    """Keys' kernel: of the two pixels beside a place, of the two further away, and none beyond."""
    near, far = (_polynomial(graph, x, *terms) for terms in ((a + 2, -(a + 3), 0.0, 1.0), (a, -5 * a, 8 * a, -4 * a)))
    far = graph.op("Where", graph.op("Less", x, _double(2)), far, _double(0))
    return str(graph.op("Where", graph.op("Less", x, _double(1)), near, far))


def _polynomial(graph: Graph, x: str, *terms: float) -> str:
    value = graph.constant(_double(terms[0]))
    for term in terms[1:]:
        value = graph.op("Add", graph.op("Mul", value, x), _double(term))
    return value


def _coloured(graph: Graph, pixels: str, colour: str) -> str:
    if colour == "GRAY":
        weighted = graph.op("Mul", pixels, LUMA[:, np.newaxis, np.newaxis])
        return str(graph.op("ReduceSum", weighted, np.array([1], np.int64), keepdims=1))
    return str(graph.op("Gather", pixels, np.array([2, 1, 0], np.int64), axis=1)) if colour == "BGR" else pixels


def _pasted(graph: Graph, pixels: str, at: Placed, fill: float) -> str:
    """On a canvas, where the picture does not fill it."""
    if at.canvas == at.sides:
        return pixels
    before: list[str] = []
    after: list[str] = []
    for room, side, start in zip(at.canvas, at.sides, at.offset, strict=True):
        rest = graph.op("Sub", graph.op("Sub", room, side), start)
        for pads, free in ((before, start), (after, rest)):
            pads.append(graph.with_axes(graph.cast(graph.op("Max", free, _double(0)), "INT64"), 0))
    zeros = graph.constant(np.zeros(2, np.int64))
    pads = graph.op("Concat", zeros, *before, zeros, *after, axis=0)
    return str(graph.op("Pad", pixels, pads, np.float32(fill), mode="constant"))


def _laid_out(graph: Graph, pixels: str, spec: Preprocess, dtype: str) -> str:
    mean, std = (np.array(value, np.float64).reshape(-1, 1, 1) for value in (spec.mean, spec.std))
    if np.any(std != spec.scale):
        pixels = graph.op("Mul", pixels, (spec.scale / std).astype(np.float32))
    if mean.any():
        pixels = graph.op("Sub", pixels, (mean / std).astype(np.float32))
    if not spec.layout.endswith("CHW"):
        pixels = graph.op("Transpose", pixels, perm=[0, 2, 3, 1])
    if (kind := numpy_dtype(dtype)).kind in "iu":
        limits = np.iinfo(kind)
        pixels = graph.op("Clip", graph.op("Round", pixels), np.float32(limits.min), np.float32(limits.max))
    pixels = graph.cast(pixels, dtype) if dtype != "FP32" else pixels
    return pixels if spec.layout[0] == "N" else graph.without_axes(pixels, 0)


def _told(graph: Graph, image: str, at: Placed) -> str:
    """The same for each picture, FP64 [n, GEOMETRY]."""
    steps = tuple(graph.op("Div", side, size) for side, size in zip(at.sides, at.picture, strict=True))
    numbers = (*at.picture, *at.canvas, *steps, *at.offset)
    row = graph.op("Concat", *(graph.with_axes(one, 0) for one in numbers), axis=0)
    shape = graph.op("Concat", graph.shape(image, 0, 1), np.array([len(numbers)], np.int64), axis=0)
    return str(graph.op("Expand", row, shape))


def _beside(graph: Graph, places: str, what: str) -> str:
    """What an input beside the picture is told of where it lies."""
    first = {"input-size": 2, "scale-factor": 4}.get(what, 0)
    told = graph.cut(places, 1, first, first + 2)
    return str(graph.op("Gather", told, np.array([1, 0], np.int64), axis=1)) if what == "picture-size-wh" else told


def _mask(graph: Graph, image: str, at: Placed) -> str:
    """1 where the picture is in the input."""
    shape = graph.op("Concat", graph.shape(image, 0, 1), np.ones(1, np.int64), *_uncut(graph, at), axis=0)
    return graph.without_axes(_pasted(graph, graph.op("Expand", np.ones(1, np.float32), shape), at, 0.0), 1)


def _uncut(graph: Graph, at: Placed) -> list[str]:
    """How many rows and columns of the picture are in the input."""
    sizes = []
    for side, room, start in zip(at.sides, at.canvas, at.offset, strict=True):
        end = graph.op("Min", side, graph.op("Sub", room, start))
        count = graph.op("Sub", end, graph.op("Max", graph.op("Neg", start), _double(0)))
        sizes.append(graph.with_axes(graph.cast(count, "INT64"), 0))
    return sizes
