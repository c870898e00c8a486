"""What a model's outputs hold, as `meaning.decode` reads them, in ONNX operators over a whole batch.

Every answer has one shape, whatever was found: `most` rows a picture, best first, the rest filled up with class -1 and
score 0; `count` says how many are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tritonpm.convert.front.graph import Graph
from tritonpm.core.tensors import numpy_dtype
from tritonpm.core.types import Dim, Tensor
from tritonpm.meaning.spec import Decode

Outputs = Mapping[str, str]  # role → tensor, with a batch axis
NOTHING = -1  # the class of a row that is filled up
_HEIGHT, _WIDTH = 0, 1


@dataclass(frozen=True)
class FrontAbout:
    """What the package says, and where the pictures lie: FP64 [n, 8], as `pictures.prepared` tells it."""

    graph: Graph
    spec: Decode
    geometry: str
    tensors: Mapping[str, Tensor]  # the outputs by role, with a batch axis

    def shape(self, role: str) -> tuple[Dim, ...]:
        """Of an output, with the batch axis; a front has seen to it that there is a rank."""
        return self.tensors[role].shape or ()

    def number(self, index: int) -> str:
        """One of the geometry's numbers, FP32 [n, 1]."""
        return self.graph.cast(self.graph.cut(self.geometry, 1, index, index + 1), "FP32")

    def pair(self, index: int) -> str:
        """Two of them in the order of x and y, twice: FP32 [n, 1, 4]."""
        y, x = self.number(index), self.number(index + 1)
        return self.graph.with_axes(self.graph.op("Concat", x, y, x, y, axis=1), 1)


@dataclass(frozen=True)
class FrontOutput:
    """An output of the front: its name, its tensor in the graph, and how it is described."""

    tensor: str
    described: Tensor


Reader = Callable[[Outputs, FrontAbout], list[FrontOutput]]


def _found(tensor: str, name: str, dtype: str, *sizes: Dim) -> FrontOutput:
    return FrontOutput(tensor, Tensor(name, dtype, ("batch", *sizes)))


def least_above(threshold: float) -> np.float32:
    """The largest number of FP32 that does not count yet: what is above it is at least `threshold`."""
    near = np.float32(threshold)
    return np.nextafter(near, np.float32(-np.inf)) if float(near) >= threshold else near


def classification(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """The likeliest classes, best first."""
    graph, spec = about.graph, about.spec
    scores = _activated(graph, graph.op("Flatten", outputs["scores"]), spec.activation, 1)
    most = _whole(about.shape("scores"), spec.top_k)
    best, classes = graph.op("TopK", scores, np.array([most], np.int64), axis=1, results=2)
    return [_found(graph.cast(classes, "INT32"), "classes", "INT32", most), _found(best, "scores", "FP32", most)]


def multi_label(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Every class that counts, best first."""
    graph, spec = about.graph, about.spec
    scores = _activated(graph, graph.op("Flatten", outputs["scores"]), spec.activation, 1)
    most = _whole(about.shape("scores"), spec.most)
    best, classes = graph.op("TopK", scores, np.array([most], np.int64), axis=1, results=2)
    counts = graph.op("Greater", best, least_above(spec.score))
    return [
        _found(_where(graph, counts, graph.cast(classes, "INT32"), np.int32(NOTHING)), "classes", "INT32", most),
        _found(_where(graph, counts, best, np.float32(0)), "scores", "FP32", most),
        _found(_counted(graph, counts), "count", "INT32", 1),
    ]


def yolov5(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Rows of box, objectness and scores of the classes."""
    graph, rows = about.graph, outputs["predictions"]
    scores = graph.op("Mul", graph.cut(rows, 2, 5), graph.cut(rows, 2, 4, 5))
    scores = graph.op("Transpose", scores, perm=[0, 2, 1])
    return _suppressed(graph.cut(rows, 2, 0, 4), scores, about)


def yolov8(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Columns of box and scores of the classes."""
    graph, columns = about.graph, outputs["predictions"]
    boxes = graph.op("Transpose", graph.cut(columns, 1, 0, 4), perm=[0, 2, 1])
    return _suppressed(boxes, graph.cut(columns, 1, 4), about)


def yolov10(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Rows of corners, score and class, each object once."""
    graph, rows = about.graph, outputs["predictions"]
    scores, classes = (graph.without_axes(graph.cut(rows, 2, n, n + 1), 2) for n in (4, 5))
    return _best(graph.cut(rows, 2, 0, 4), scores, graph.cast(classes, "INT32"), about, "predictions")


def efficient_nms(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """As many rows as it counts; the rest is filled up."""
    graph = about.graph
    count = graph.op("Reshape", outputs["count"], np.array([-1, 1], np.int64))
    scores = graph.op("Flatten", outputs["scores"])
    there = graph.op("Less", graph.counted(graph.shape(scores, 1, 2)), graph.cast(count, "INT64"))
    scores = _where(graph, there, scores, np.float32(-1))
    classes = graph.cast(graph.op("Flatten", outputs["classes"]), "INT32")
    return _best(outputs["boxes"], scores, classes, about, "boxes")


def boxes(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Boxes [n, 4], or [n, 5] with the score last; scores [n], or of each class."""
    graph, spec, listed = about.graph, about.spec, outputs["boxes"]
    if "scores" not in outputs:
        scores = graph.without_axes(graph.cut(listed, 2, 4, 5), 2)
    elif len(about.shape("scores")) == 3:
        scores = _activated(graph, outputs["scores"], spec.activation, 2)
        if spec.background != "none":
            scores = _without_background(graph, scores, spec.background)
    else:
        scores = outputs["scores"]
    classes = outputs.get("classes", "")
    if "scores" in outputs and len(about.shape("scores")) == 3:
        classes = classes or graph.op("ArgMax", scores, axis=2, keepdims=0)
        scores = graph.largest(scores, 2)
    elif not classes:
        zero = np.zeros((), np.float32)
        classes = graph.op("Mul", scores, zero)
    return _best(graph.cut(listed, 2, 0, 4), scores, graph.cast(classes, "INT32"), about, "boxes")


def detr(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Queries, each an object; with a sigmoid a query may be several."""
    graph, spec = about.graph, about.spec
    scores, boxes = _activated(graph, outputs["scores"], spec.activation, 2), outputs["boxes"]
    if spec.background != "none":
        scores = _without_background(graph, scores, spec.background)
    if spec.activation != "sigmoid":
        classes = graph.cast(graph.op("ArgMax", scores, axis=2, keepdims=0), "INT32")
        return _best(boxes, graph.largest(scores, 2), classes, about, "boxes", form="cxcywh", space="unit")
    queries, classes = graph.shape(scores, 1, 2), graph.shape(scores, 2, 3)
    most = graph.op("Min", queries, np.array([spec.most], np.int64))
    best, index = graph.op("TopK", graph.op("Flatten", scores), most, axis=1, results=2)
    boxes = graph.op("GatherND", boxes, graph.with_axes(graph.op("Div", index, classes), 2), batch_dims=1)
    classes = graph.cast(graph.op("Mod", index, classes), "INT32")
    return _best(boxes, best, classes, about, "boxes", form="cxcywh", space="unit")


def _without_background(graph: Graph, scores: str, which: str) -> str:
    """The scores [n, boxes, classes] with -1 for what is none."""
    classes = graph.shape(scores, 2, 3)
    none = np.int64(0) if which == "first" else graph.op("Sub", graph.without_axes(classes, 0), np.int64(1))
    return _where(graph, graph.op("Equal", graph.counted(classes), none), np.float32(-1), scores)


def _activated(graph: Graph, scores: str, activation: str, axis: int) -> str:
    scores = graph.cast(scores, "FP32")
    if activation == "sigmoid":
        return str(graph.op("Sigmoid", scores))
    return str(graph.op("Softmax", scores, axis=axis)) if activation == "softmax" else scores


def _where(graph: Graph, condition: str, one: str | np.generic, other: str | np.generic) -> str:
    return str(graph.op("Where", condition, one, other))


def _counted(graph: Graph, condition: str) -> str:
    return str(graph.op("ReduceSum", graph.cast(condition, "INT32"), np.array([1], np.int64), keepdims=1))


def _whole(shape: Sequence[Dim], most: int) -> int:
    """How many of `most` a row has at all."""
    sizes = shape[1:]
    whole = 1
    for size in sizes:
        if not isinstance(size, int):
            return most
        whole *= size
    return min(most, whole)


def _corners(graph: Graph, boxes: str, form: str) -> str:
    """Boxes [n, m, 4] of one form as left, top, right, bottom."""
    if form == "xyxy":
        return boxes
    if form == "yxyx":
        return str(graph.op("Gather", boxes, np.array([1, 0, 3, 2], np.int64), axis=2))
    first, size = graph.cut(boxes, 2, 0, 2), graph.cut(boxes, 2, 2, 4)
    if form == "cxcywh":
        first = graph.op("Sub", first, graph.op("Mul", size, np.float32(0.5)))
    return str(graph.op("Concat", first, graph.op("Add", first, size), axis=2))


def _suppressed(boxes: str, scores: str, about: FrontAbout) -> list[FrontOutput]:
    """Boxes [n, m, 4] as centre and size, scores [n, classes, m]: of those of a class that overlap the best."""
    graph, spec = about.graph, about.spec
    boxes = _corners(graph, graph.cast(boxes, "FP32"), "cxcywh")
    scores = _activated(graph, scores, spec.activation, 1)
    classes, best = graph.op("ArgMax", scores, axis=1, keepdims=0), graph.largest(scores, 1)
    rivals = graph.with_axes(best, 1)
    if not spec.agnostic:  # each box stands among those of its own class only
        numbers = graph.with_axes(graph.counted(graph.shape(scores, 1, 2)), 1)
        own = graph.op("Equal", graph.with_axes(classes, 1), numbers)
        rivals = _where(graph, own, rivals, np.float32(-1))
    kept = graph.op(
        "NonMaxSuppression", boxes, rivals, np.array([spec.most], np.int64), np.array([spec.iou], np.float32),
        np.array([least_above(spec.score)], np.float32),
    )  # fmt: skip
    places = graph.op("Gather", kept, np.array([0, 2], np.int64), axis=1)  # (picture, class, box)
    nothing = graph.op("Expand", np.array([-1], np.float32), graph.op("Shape", best))
    best = graph.op("ScatterND", nothing, places, graph.op("GatherND", best, places))
    return _best(boxes, best, graph.cast(classes, "INT32"), about, "predictions", form="xyxy", space="input")


def _best(
    boxes: str, scores: str, classes: str, about: FrontAbout, role: str, *, form: str = "", space: str = ""
) -> list[FrontOutput]:
    """The best rows whose score counts, in the picture, cut where they are beyond it, but for what lies outside."""
    graph, spec = about.graph, about.spec
    scores = graph.cast(scores, "FP32")
    scores = _where(graph, graph.op("Greater", scores, least_above(spec.score)), scores, np.float32(-1))
    boxes = graph.cast(boxes, "FP32")
    axis = 2 if spec.kind.startswith("yolov8") else 1
    if not isinstance(rows := about.shape(role)[axis], int) or rows < spec.most:
        scores = _filled_up(graph, scores, np.float32(-1), spec.most, 1)
        classes = _filled_up(graph, classes, np.int32(NOTHING), spec.most, 1)
        boxes = _filled_up(graph, boxes, np.float32(0), spec.most, 2)
    boxes, scores, classes = _top(graph, boxes, scores, classes, spec.most)
    corners = _in_picture(_corners(graph, boxes, form or spec.boxes), about, space or spec.space)
    corners = graph.op("Max", graph.op("Min", corners, about.pair(0)), np.float32(0))
    sides = graph.op("Sub", graph.cut(corners, 2, 2, 4), graph.cut(corners, 2, 0, 2))
    seen = graph.op("Greater", graph.least(sides, 2), np.float32(0))
    scores = _where(graph, seen, scores, np.float32(-1))
    corners, scores, classes = _top(graph, corners, scores, classes, spec.most)
    there = graph.op("GreaterOrEqual", scores, np.float32(0))
    return [
        _found(_where(graph, graph.with_axes(there, 2), corners, np.float32(0)), "boxes", "FP32", spec.most, 4),
        _found(_where(graph, there, scores, np.float32(0)), "scores", "FP32", spec.most),
        _found(_where(graph, there, classes, np.int32(NOTHING)), "classes", "INT32", spec.most),
        _found(_counted(graph, there), "count", "INT32", 1),
    ]


def _top(graph: Graph, boxes: str, scores: str, classes: str, most: int) -> tuple[str, str, str]:
    """The best rows of each picture, in order."""
    best, index = graph.op("TopK", scores, np.array([most], np.int64), axis=1, results=2)
    boxes = graph.op("GatherND", boxes, graph.with_axes(index, 2), batch_dims=1)
    return boxes, best, graph.op("GatherElements", classes, index, axis=1)


def _filled_up(graph: Graph, rows: str, value: np.generic, more: int, axes: int) -> str:
    """With further rows at the end, of one value."""
    pads = [0, 0, 0, more] if axes == 1 else [0, 0, 0, 0, more, 0]
    return str(graph.op("Pad", rows, np.array(pads, np.int64), value, mode="constant"))


def _in_picture(corners: str, about: FrontAbout, space: str) -> str:
    graph = about.graph
    if space == "picture":
        return corners
    if space == "unit":
        corners = graph.op("Mul", corners, about.pair(2))
    return str(graph.op("Div", graph.op("Sub", corners, about.pair(6)), about.pair(4)))


def semantic_segmentation(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """The class of every pixel, of scores of each class (one: where it is above the threshold) or of whole numbers."""
    graph, spec, scores = about.graph, about.spec, outputs["scores"]
    shape = about.shape("scores")
    count = shape[1] if len(shape) == 4 else None
    if numpy_dtype(about.tensors["scores"].dtype).kind in "iub":
        whole = scores if len(shape) == 3 else graph.without_axes(scores, 1)
        rows = _at_pixels(graph, whole, about, 1, _HEIGHT, nearest=True)
        classes = _at_pixels(graph, rows, about, 2, _WIDTH, nearest=True)
        return [_found(graph.cast(classes, "INT32"), "classes", "INT32", "height", "width")]
    scores = graph.cast(scores, "FP32")
    if count == 1 and spec.activation == "sigmoid":
        scores = graph.op("Sigmoid", scores)
    rows = _at_pixels(graph, scores, about, 2, _HEIGHT)
    rows = graph.op("Transpose", rows, perm=[0, 3, 1, 2])  # whole columns are read faster than single values
    scores = _at_pixels(graph, rows, about, 1, _WIDTH)  # [n, width, classes, height]
    if count == 1:
        classes = graph.without_axes(graph.op("Greater", scores, least_above(spec.threshold)), 2)
    else:
        classes = graph.op("ArgMax", scores, axis=2, keepdims=0)
    classes = graph.op("Transpose", graph.cast(classes, "INT32"), perm=[0, 2, 1])
    return [_found(classes, "classes", "INT32", "height", "width")]


def _at_pixels(graph: Graph, values: str, about: FrontAbout, axis: int, along: int, *, nearest: bool = False) -> str:
    """The values along an axis at each pixel of the pictures, which are of one size; beyond the input its edge."""
    row = graph.without_axes(graph.cut(about.geometry, 0, 0, 1), 0)
    picture, whole, step, offset = (graph.cut(row, 0, n + along, n + along + 1) for n in (0, 2, 4, 6))
    size = graph.cast(graph.shape(values, axis, axis + 1), "FP64")
    pixels = graph.cast(graph.counted(graph.cast(picture, "INT64")), "FP64")
    places = graph.op("Add", graph.op("Mul", graph.op("Add", pixels, np.float64(0.5)), step), offset)
    places = graph.op("Div", graph.op("Mul", places, size), whole)
    last = graph.op("Sub", size, np.float64(1))
    places = graph.op("Floor", places) if nearest else graph.op("Sub", places, np.float64(0.5))
    places = graph.op("Max", graph.op("Min", places, last), np.float64(0))
    low = graph.op("Floor", places)
    one = graph.op("Gather", values, graph.cast(low, "INT64"), axis=axis)
    if nearest:
        return str(one)
    high = graph.cast(graph.op("Min", graph.op("Add", low, np.float64(1)), last), "INT64")
    other = graph.op("Gather", values, high, axis=axis)
    share = graph.with_axes(graph.cast(graph.op("Sub", places, low), "FP32"), *range(1, 4 - axis))
    return str(graph.op("Add", one, graph.op("Mul", graph.op("Sub", other, one), share)))


READERS: Mapping[str, Reader] = {
    "classification": classification,
    "multi-label": multi_label,
    "yolov5": yolov5,
    "yolov8": yolov8,
    "yolov10": yolov10,
    "efficient-nms": efficient_nms,
    "boxes": boxes,
    "detr": detr,
    "semantic-segmentation": semantic_segmentation,
}
