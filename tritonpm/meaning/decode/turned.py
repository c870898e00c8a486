"""Boxes that are turned: the `obb` head of YOLOv8 and later. They overlap as the Gaussians that they stand for.

As in Ultralytics ("fast NMS") a box goes if any better one overlaps it, though that one goes, too.

Source: "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union" (arXiv 2106.06072), which Ultralytics uses.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode.about import About, Outputs, activated
from tritonpm.meaning.decode.yolo import ranked
from tritonpm.meaning.objects import Detection

_LITTLE = 1e-7


def yolov8_obb(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Columns of centre, size, scores of the classes, angle. The box is the one before it is turned."""
    spec, rows = about.spec, np.asarray(outputs["predictions"], np.float64).T
    scores = activated(rows[:, 4:-1], spec.activation)
    best, classes = scores.max(axis=1, initial=0.0), scores.argmax(axis=1)
    counted = np.flatnonzero(best >= spec.score)
    order = counted[np.argsort(-best[counted], kind="stable")]
    turned = np.concatenate([rows[:, :4], rows[:, -1:]], axis=1)
    there, kept = np.ones(len(order), bool), list[int]()
    for place, index in enumerate(order):
        if len(kept) == spec.most:
            break
        if there[place]:
            kept.append(int(index))
        rivals = overlap(turned[index], turned[order[place + 1 :]]) > spec.iou
        there[place + 1 :] &= ~(rivals if spec.agnostic else rivals & (classes[order[place + 1 :]] == classes[index]))
    about = replace(about, spec=replace(spec, boxes="cxcywh", space="input"))
    corners = about.corners(rows[kept, :4])
    return tuple(
        about.detection(box, best[index], classes[index], angle=float(rows[index, -1]))
        for index, box in zip(kept, corners, strict=True)
    )


def yolov10_obb(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Rows of centre, size, score, class, angle, each object once. The box is the one before it is turned."""
    rows = ranked(outputs, about)
    corners = replace(about, spec=replace(about.spec, boxes="cxcywh", space="input")).corners(rows[:, :4])
    return tuple(
        about.detection(box, row[4], int(row[5]), angle=float(row[6])) for box, row in zip(corners, rows, strict=True)
    )


def overlap(box: Array, others: Array) -> Array:
    """Of one turned box (cx, cy, width, height, angle) with each of [n, 5], from 0 to 1."""
    a, b, c = _covariance(box[np.newaxis])
    d, e, f = _covariance(others)
    x, y = box[0] - others[:, 0], box[1] - others[:, 1]
    shared = (a + d) * (b + e) - (c + f) ** 2 + _LITTLE
    far = ((a + d) * y**2 + (b + e) * x**2) / shared / 4 + (c + f) * -x * y / shared / 2
    unlike = np.log(
        shared / (4 * np.sqrt(np.clip(a * b - c**2, 0, None) * np.clip(d * e - f**2, 0, None)) + _LITTLE) + _LITTLE
    )
    distance = np.clip(far + unlike / 2, _LITTLE, 100.0)
    return np.asarray(1 - np.sqrt(1 - np.exp(-distance) + _LITTLE))


def _covariance(boxes: Array) -> tuple[Array, Array, Array]:
    width, height = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cosine, sine = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return (
        width * cosine**2 + height * sine**2,
        width * sine**2 + height * cosine**2,
        (width - height) * cosine * sine,
    )
