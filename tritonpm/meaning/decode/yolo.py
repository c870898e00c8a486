"""The YOLO heads: v5 and v7 (rows with an objectness), v8 and later (columns), v10 (end to end).

Source: what Ultralytics' and the YOLOv5, YOLOv7 and YOLOv10 repositories export; boxes are centre and size in pixels of
the input, but v10's are corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode.about import About, Outputs, activated, suppressed
from tritonpm.meaning.laid_over import laid_over
from tritonpm.meaning.objects import Detection


def yolov5(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Rows of box, objectness, scores of the classes, and mask coefficients where there are prototypes."""
    rows = np.asarray(outputs["predictions"], np.float64)
    prototypes = outputs.get("prototypes")
    more = 0 if prototypes is None else len(prototypes)
    scores = rows[:, 5 : rows.shape[1] - more] * rows[:, 4:5]
    return _detections(rows[:, :4], scores, rows[:, rows.shape[1] - more :], prototypes, about)


def yolov8(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Columns of box, scores of the classes, then mask coefficients or keypoints."""
    rows = np.asarray(outputs["predictions"], np.float64).T
    prototypes, keypoints = outputs.get("prototypes"), about.spec.keypoints
    more = 0 if prototypes is None else len(prototypes)
    more = keypoints[0] * keypoints[1] if about.spec.kind == "yolov8-pose" and keypoints else more
    cut = rows.shape[1] - more
    return _detections(rows[:, :4], rows[:, 4:cut], rows[:, cut:], prototypes, about)


def yolov10(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Rows of corners, score, class, then mask coefficients or keypoints, each object once."""
    rows, prototypes, keypoints = ranked(outputs, about), outputs.get("prototypes"), about.spec.keypoints
    corners = about.cut(about.corners(rows[:, :4]))
    points: Sequence[tuple[tuple[float, ...], ...]] = [()] * len(rows)
    if about.spec.kind == "yolov10-pose" and keypoints:
        points = keypoints_of(rows[:, 6:].reshape(len(rows), *keypoints), about)
    masks = [None] * len(rows) if prototypes is None else _masks(rows[:, 6:], prototypes, corners, about)
    return tuple(
        about.detection(box, row[4], int(row[5]), mask=mask, keypoints=own)
        for box, row, mask, own in zip(corners, rows, masks, points, strict=True)
    )


def ranked(outputs: Outputs, about: About) -> Array:
    """The rows of v10 whose score counts, best first."""
    rows = np.asarray(outputs["predictions"], np.float64)
    rows = rows[rows[:, 4] >= about.spec.score]
    return rows[np.argsort(-rows[:, 4], kind="stable")][: about.spec.most]


def _detections(
    boxes: Array, scores: Array, more: Array, prototypes: Array | None, about: About
) -> tuple[Detection, ...]:
    spec = about.spec
    scores = activated(scores, spec.activation)
    best, classes = scores.max(axis=1, initial=0.0), scores.argmax(axis=1)
    counted = best >= spec.score
    boxes, best, classes, more = boxes[counted], best[counted], classes[counted], more[counted]
    about = replace(about, spec=replace(spec, boxes="cxcywh", space="input"))
    corners = about.corners(boxes)
    kept = suppressed(corners, best, classes, spec)
    keypoints: Sequence[tuple[tuple[float, ...], ...]] = [()] * len(kept)
    if spec.kind == "yolov8-pose" and spec.keypoints:
        keypoints = keypoints_of(more[kept].reshape(len(kept), *spec.keypoints), about)
    cut = about.cut(corners[kept])
    masks = [None] * len(kept) if prototypes is None else _masks(more[kept], prototypes, cut, about)
    return tuple(
        about.detection(box, best[index], classes[index], mask=mask, keypoints=points)
        for index, box, mask, points in zip(kept, cut, masks, keypoints, strict=True)
    )


def keypoints_of(points: Array, about: About, *, cut: bool = True) -> list[tuple[tuple[float, ...], ...]]:
    """Keypoints [n, k, 2 or 3] of the input, in the picture; `cut` at its edges, as Ultralytics does."""
    places = about.geometry.to_picture(points[..., :2])
    places = np.clip(places, 0, about.geometry.picture[::-1]) if cut else places
    placed = np.concatenate([places, points[..., 2:]], axis=-1)
    return [tuple(tuple(float(value) for value in point) for point in one) for one in placed]


def _masks(coefficients: Array, prototypes: Array, corners: Array, about: About) -> list[Array]:
    """Each object's mask of the picture's size: a mix of the prototypes, within its box."""
    depth, height, width = prototypes.shape
    mixed = (coefficients @ prototypes.reshape(depth, -1).astype(np.float64)).reshape(-1, height, width)
    level = np.log(about.spec.threshold / (1 - about.spec.threshold)) if 0 < about.spec.threshold < 1 else 0.0
    return [within(laid_over(one, about.geometry) > level, box) for one, box in zip(mixed, corners, strict=True)]


def within(mask: Array, corners: Array) -> Array:
    """A mask without what lies outside a box: pixels whose centres are inside."""
    rows, columns = np.arange(mask.shape[0]) + 0.5, np.arange(mask.shape[1]) + 0.5
    inside = (rows >= corners[1]) & (rows <= corners[3])
    return np.asarray(mask & inside[:, np.newaxis] & ((columns >= corners[0]) & (columns <= corners[2])))
