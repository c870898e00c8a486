"""What a decoder is told of one picture, and what all of them need: names, boxes in the picture, overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.geometry import Geometry
from tritonpm.meaning.objects import Box, Detection
from tritonpm.meaning.spec import Decode

Outputs = Mapping[str, Array]  # of one picture, by role; without the batch axis


@dataclass(frozen=True)
class About:
    """What the package says, and where the picture lies in the input."""

    spec: Decode
    labels: tuple[str, ...]
    geometry: Geometry

    def name(self, class_id: int) -> str:
        """Of one of the model's classes: its label, else its number."""
        index = class_id - (self.spec.background == "first" and not self.spec.background_named)
        return self.labels[index] if 0 <= index < len(self.labels) else str(class_id)

    def background(self, classes: int) -> int | None:
        """Which of so many classes is none."""
        return {"none": None, "first": 0, "last": classes - 1}[self.spec.background]

    def corners(self, boxes: Array) -> Array:
        """Boxes [n, 4] as the model gives them, as corners in the picture's pixels, not cut."""
        boxes = as_corners(np.asarray(boxes, np.float64).reshape(-1, 4), self.spec.boxes)
        if self.spec.space == "picture":
            return boxes
        if self.spec.space == "unit":
            boxes = boxes * np.array([*self.geometry.input[::-1]] * 2)
        return self.geometry.to_picture(boxes.reshape(-1, 2, 2)).reshape(-1, 4)

    def cut(self, corners: Array) -> Array:
        """Corners within the picture."""
        height, width = self.geometry.picture
        return np.clip(corners, 0, [width, height, width, height])

    def detection(self, corners: Array, score: float, class_id: int, **more: object) -> Detection:
        """An object, from its corners in the picture."""
        left, top, right, bottom = (float(value) for value in corners)
        box = Box(left, top, right, bottom)
        return Detection(box, float(score), int(class_id), self.name(int(class_id)), **more)  # type: ignore[arg-type]


def as_corners(boxes: Array, form: str) -> Array:
    """Boxes [n, 4] of one form as left, top, right, bottom."""
    if form == "xyxy":
        return boxes
    if form == "yxyx":
        return boxes[:, [1, 0, 3, 2]]
    first, size = boxes[:, :2], boxes[:, 2:]
    corner = first - size / 2 if form == "cxcywh" else first
    return np.concatenate([corner, corner + size], axis=1)


def activated(scores: Array, activation: str) -> Array:
    """Scores of the last axis as probabilities."""
    scores = np.asarray(scores, np.float64)
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(scores, -60, 60))))
    if activation == "softmax":
        raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
    return scores


def overlaps(box: Array, others: Array) -> Array:
    """Intersection over union of one box with each of [n, 4]: 1 where both are the same and without area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    union = _area(box[np.newaxis]) + _area(others) - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1.0), (others == box).all(axis=1))


def _area(corners: Array) -> Array:
    return np.asarray(np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0, None), axis=1))


def suppressed(corners: Array, scores: Array, classes: Array, spec: Decode) -> Array:
    """Which of the boxes stay, best first: of those that overlap (and are of one class) the best."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < spec.most:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        rivals = overlaps(corners[best], corners[order]) > spec.iou
        if not spec.agnostic:
            rivals &= classes[order] == classes[best]
        order = order[~rivals]
    return np.array(kept, int)
