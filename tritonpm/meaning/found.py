"""A detector's outputs as ONNX operators: the boxes that count, best first, as `meaning.decode` finds them.

For one picture. FoundBoxes are corners in pixels of the detector's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tritonpm.core.types import Signature
from tritonpm.meaning.operators import Operators
from tritonpm.meaning.spec import Decode

_APART = 1 << 14  # pixels between boxes of two classes, so that none suppresses the other
_ALL = (1 << 31) - 1  # the end of an axis
_ANY = -1.0  # a score that nothing has


@dataclass(frozen=True)
class FoundBoxes:
    """Names of corners [n, 4], scores [n] and classes [n] (INT64), and whether overlapping boxes are still to go."""

    corners: str
    scores: str
    classes: str
    overlapping: bool = False


@dataclass(frozen=True)
class Raw:
    """The detector's outputs by role, without the batch axis, and how many values each has: sizes by role."""

    names: Mapping[str, str]
    shapes: Mapping[str, tuple[int | str, ...]]
    size: tuple[int, int]  # (height, width) of the input


def found(graph: Operators, raw: Raw, spec: Decode) -> tuple[str, str, str]:
    """(corners, scores, classes) of the objects, best first, `spec.most` at most. Raises ValueError: a kind unknown."""
    if spec.kind not in READERS:
        raise ValueError(f"objects of kind {spec.kind} cannot be cut out, only those of {', '.join(READERS)}")
    seen = READERS[spec.kind](graph, raw, spec)
    kept = _counted(graph, seen, spec) if not seen.overlapping else _suppressed(graph, seen, spec)
    corners, scores, classes = (graph.add("Gather", one, kept) for one in (seen.corners, seen.scores, seen.classes))
    count = graph.add("Min", graph.add("Shape", scores), graph.whole(spec.most))
    best, order = graph.split("TopK", scores, count, to=("", ""))
    return graph.add("Gather", corners, order), best, graph.add("Gather", classes, order)


def _counted(graph: Operators, seen: FoundBoxes, spec: Decode) -> str:
    """Where the scores are high enough."""
    high = graph.add("GreaterOrEqual", seen.scores, graph.constant(spec.score))
    return graph.add("Squeeze", graph.add("NonZero", high), graph.whole(0))


def _suppressed(graph: Operators, seen: FoundBoxes, spec: Decode) -> str:
    """As `decode.about.suppressed`: of those that overlap, and are of one class, the best."""
    corners = seen.corners
    if not spec.agnostic:
        moved = graph.add("Mul", graph.add("Cast", seen.classes, dtype="FP32"), graph.constant(_APART))
        corners = graph.add("Add", corners, graph.add("Unsqueeze", moved, graph.whole(1)))
    least = np.nextafter(np.float32(spec.score), np.float32(_ANY))  # the operator takes what is above it
    picked = graph.add(
        "NonMaxSuppression",
        graph.add("Unsqueeze", corners, graph.whole(0)),
        graph.add("Unsqueeze", seen.scores, graph.whole(0, 1)),
        graph.whole(spec.most),
        graph.constant([spec.iou]),
        graph.constant([least]),
    )
    return graph.add("Squeeze", graph.columns(picked, 2, 3), graph.whole(1))


def _best(graph: Operators, scores: str, spec: Decode) -> tuple[str, str]:
    """Of scores [n, classes]: the best one and its class."""
    if spec.activation != "none":
        scores = graph.add("Sigmoid", scores) if spec.activation == "sigmoid" else graph.add("Softmax", scores, axis=1)
    return graph.add("ReduceMax", scores, axes=[1], keepdims=0), graph.add("ArgMax", scores, axis=1, keepdims=0)


def _corners(graph: Operators, boxes: str, form: str) -> str:
    if form == "xyxy":
        return boxes
    if form == "yxyx":
        return graph.add("Gather", boxes, graph.whole(1, 0, 3, 2), axis=1)
    first, size = graph.columns(boxes, 0, 2), graph.columns(boxes, 2, 4)
    if form == "cxcywh":
        first = graph.add("Sub", first, graph.add("Mul", size, graph.constant(0.5)))
    return graph.add("Concat", first, graph.add("Add", first, size), axis=1)


def _in_pixels(graph: Operators, corners: str, raw: Raw, spec: Decode) -> str:
    if spec.space == "picture":
        raise ValueError("its boxes are in the picture's pixels, which are not those of its input")
    if spec.space == "unit":
        corners = graph.add("Mul", corners, graph.constant([*raw.size[::-1]] * 2))
    return corners


def _size(raw: Raw, role: str, axis: int) -> int:
    size = raw.shapes[role][axis]
    if not isinstance(size, int):
        raise ValueError(f"the model does not say how many {role} there are ({size})")
    return size


def _yolo(graph: Operators, raw: Raw, spec: Decode) -> FoundBoxes:
    """Rows of v5, columns of v8 and later; what stands behind the classes' scores is left."""
    v5 = spec.kind.startswith("yolov5")
    rows = raw.names["predictions"] if v5 else graph.add("Transpose", raw.names["predictions"], perm=[1, 0])
    more = _size(raw, "prototypes", 0) if "prototypes" in raw.names else 0
    if spec.kind == "yolov8-pose" and spec.keypoints:
        more = spec.keypoints[0] * spec.keypoints[1]
    last = -more or _ALL
    scores = graph.columns(rows, 5 if v5 else 4, last)
    if v5:
        scores = graph.add("Mul", scores, graph.columns(rows, 4, 5))
    return FoundBoxes(
        _corners(graph, graph.columns(rows, 0, 4), "cxcywh"), *_best(graph, scores, spec), overlapping=True
    )


def _yolov10(graph: Operators, raw: Raw, spec: Decode) -> FoundBoxes:
    rows = raw.names["predictions"]
    score, kind = (graph.add("Squeeze", graph.columns(rows, place, place + 1), graph.whole(1)) for place in (4, 5))
    corners = _in_pixels(graph, _corners(graph, graph.columns(rows, 0, 4), spec.boxes), raw, spec)
    return FoundBoxes(corners, score, graph.add("Cast", kind, dtype="INT64"))


def _efficient_nms(graph: Operators, raw: Raw, spec: Decode) -> FoundBoxes:
    """As many rows as it counts: the others get a score that nothing has."""
    flat = graph.whole(-1)
    scores = graph.add("Reshape", raw.names["scores"], flat)
    count = graph.add("Cast", graph.add("Reshape", raw.names["count"], flat), dtype="INT64")
    places = graph.add(
        "Range", graph.constant(0, np.int64), graph.add("Squeeze", graph.add("Shape", scores)),
        graph.constant(1, np.int64),
    )  # fmt: skip
    there = graph.add("Less", places, count)
    scores = graph.add("Where", there, scores, graph.constant(_ANY))
    classes = graph.add("Cast", graph.add("Reshape", raw.names["classes"], flat), dtype="INT64")
    return FoundBoxes(_in_pixels(graph, _corners(graph, raw.names["boxes"], spec.boxes), raw, spec), scores, classes)


def _listed(graph: Operators, raw: Raw, spec: Decode) -> FoundBoxes:
    """FoundBoxes [n, 4], or [n, 5] with the score last; scores [n], or [n, classes] where there are no classes [n]."""
    listed = raw.names["boxes"]
    corners = _in_pixels(graph, _corners(graph, graph.columns(listed, 0, 4), spec.boxes), raw, spec)
    if "scores" not in raw.names:
        scores = graph.add("Squeeze", graph.columns(listed, 4, 5), graph.whole(1))
    elif len(raw.shapes["scores"]) == 2:
        if spec.background != "none" or "classes" in raw.names:
            raise ValueError("its scores have a background, or classes beside them")
        scores, classes = _best(graph, raw.names["scores"], spec)
        return FoundBoxes(corners, scores, classes)
    else:
        scores = raw.names["scores"]
    if "classes" in raw.names:
        return FoundBoxes(corners, scores, graph.add("Cast", raw.names["classes"], dtype="INT64"))
    none = graph.add("Mul", graph.add("Cast", scores, dtype="INT64"), graph.constant(0, np.int64))
    return FoundBoxes(corners, scores, none)


READERS: Mapping[str, Callable[[Operators, Raw, Decode], FoundBoxes]] = {
    **dict.fromkeys(("yolov5", "yolov5-segment", "yolov8", "yolov8-segment", "yolov8-pose"), _yolo),
    **dict.fromkeys(("yolov10", "yolov10-segment", "yolov10-pose"), _yolov10),
    "efficient-nms": _efficient_nms, "boxes": _listed,
}  # fmt: skip


def batched(spec: Decode, signature: Signature) -> bool:
    """Whether a detector's outputs have a batch axis, as `decode` takes them."""
    boxes = next((t for t in signature.outputs if t.name == spec.outputs.get("boxes", "boxes")), None)
    if spec.kind in ("boxes", "efficient-nms"):
        return boxes is not None and boxes.shape is not None and len(boxes.shape) > 2
    return True
