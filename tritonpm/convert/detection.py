"""Boxes in a detector's answer, and how many of them two answers share.

Known by their shapes: an output [..., n, 4] of boxes beside one [..., n] or [..., n, classes] of scores; or one
output [..., n, 5 or more] with a box, a score and perhaps more in each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tritonpm.core.tensors import Array

SCORE = 0.25  # of a detection that counts
OVERLAP = 0.5  # intersection over union of two boxes that are one


@dataclass(frozen=True)
class Boxes:
    """Detections: corners [n, 4], scores [n], classes [n]; `frames` [n] says in which image."""

    corners: Array
    scores: Array
    classes: Array
    frames: Array


def boxes_of(answer: Mapping[str, Array]) -> Boxes | None:
    """The detections in an answer; None where no output looks like boxes."""
    floats = {name: array for name, array in answer.items() if array.dtype.kind == "f" and array.ndim >= 2}
    for name, corners in floats.items():
        if corners.shape[-1] != 4:
            continue
        for other, scores in answer.items():
            if other != name and scores.dtype.kind == "f" and scores.shape[: corners.ndim - 1] == corners.shape[:-1]:
                return _separate(corners, scores)
    for array in floats.values():
        if array.ndim >= 3 and array.shape[-1] >= 5:
            return _separate(array[..., :4], array[..., 4])
    return None


def _separate(corners: Array, scores: Array) -> Boxes:
    count = corners.shape[-2]
    frames = np.repeat(np.arange(int(np.prod(corners.shape[:-2]))), count)
    flat = scores.reshape(len(frames), -1) if scores.size else np.zeros((len(frames), 1))  # nothing found, or no class
    classes, best = flat.argmax(axis=1), flat.max(axis=1)
    kept = best >= SCORE
    return Boxes(corners.reshape(-1, 4)[kept].astype(np.float64), best[kept], classes[kept], frames[kept])


def matched(one: Boxes, other: Boxes) -> tuple[int, int]:
    """(detections that both have, detections that either has): best score first, each box matched once."""
    taken = np.zeros(len(other.scores), dtype=bool)
    both = 0
    for index in np.argsort(-one.scores):
        rivals = ~taken & (other.frames == one.frames[index]) & (other.classes == one.classes[index])
        overlaps = np.where(rivals, _overlap(one.corners[index], other.corners), 0.0)
        if overlaps.size and overlaps.max() >= OVERLAP:
            taken[overlaps.argmax()] = True
            both += 1
    return both, len(one.scores) + len(other.scores) - both


def _overlap(box: Array, others: Array) -> Array:
    """Intersection over union; boxes are (x1, y1, x2, y2), or for which that has no area, (x, y, width, height)."""
    a, b = as_corners(box[np.newaxis]), as_corners(others)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    union = _area(a) + _area(b) - shared
    return np.asarray(np.where(union > 0, shared / np.where(union > 0, union, 1.0), (a == b).all(axis=1)))


def as_corners(boxes: Array) -> Array:
    """Boxes as (x1, y1, x2, y2), where they may be (x, y, width, height)."""
    sized = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1, keepdims=True)
    return np.where(sized, np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1), boxes)


def _area(corners: Array) -> Array:
    return np.asarray(np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0, None), axis=1))
