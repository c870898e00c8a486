"""Detectors whose answer is a list: TensorRT's NMS plugins, torchvision's and mmdetection's boxes, SSD's rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode.about import About, Outputs, activated
from tritonpm.meaning.decode.yolo import keypoints_of, within
from tritonpm.meaning.laid_over import between, laid_over
from tritonpm.meaning.objects import Detection


def efficient_nms(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """As many rows as it counts; the rest is filled up."""
    count = int(np.asarray(outputs["count"]).reshape(-1)[0])
    cut = {role: outputs[role].reshape(len(outputs["boxes"]), -1)[:count] for role in ("boxes", "scores", "classes")}
    return _listed(cut["boxes"], cut["scores"][:, 0], cut["classes"][:, 0], about)


def boxes(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Boxes [n, 4], or [n, 5] with the score last; scores [n], or [n, classes] where there are no classes [n]."""
    listed = np.asarray(outputs["boxes"])
    scores = outputs["scores"] if "scores" in outputs else listed[:, 4]
    if scores.ndim == 2:
        scores = activated(scores, about.spec.activation)
        if (none := about.background(scores.shape[1])) is not None:
            scores = scores.copy()
            scores[:, none] = -1.0
    each = scores if scores.ndim == 2 else scores[:, np.newaxis]
    classes = outputs["classes"] if "classes" in outputs else each.argmax(axis=1)
    best = each.max(axis=1, initial=0.0)
    return _listed(listed[:, :4], best, classes, about, outputs.get("masks"), outputs.get("keypoints"))


def ssd(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Rows of picture, class, score and corners as shares; a picture below 0 ends the list."""
    rows = np.asarray(outputs["predictions"], np.float64).reshape(-1, 7)
    ended = np.flatnonzero(rows[:, 0] < 0)
    rows = rows[: ended[0]] if len(ended) else rows
    return _listed(rows[:, 3:7], rows[:, 2], rows[:, 1], about)


def _listed(
    listed: Array, scores: Array, classes: Array, about: About, masks: Array | None = None,
    keypoints: Array | None = None,
) -> tuple[Detection, ...]:  # fmt: skip
    scores = np.asarray(scores, np.float64)
    counted = np.flatnonzero(scores >= about.spec.score)
    kept = counted[np.argsort(-scores[counted], kind="stable")][: about.spec.most]
    whole = about.corners(listed[kept])
    corners = about.cut(whole)
    painted: Sequence[Array | None] = [None] * len(kept)
    if masks is not None:
        painted = [_mask(masks[index], box, about) for index, box in zip(kept, whole, strict=True)]
    points = (
        [()] * len(kept)
        if keypoints is None
        else keypoints_of(np.asarray(keypoints, np.float64)[kept], about, cut=False)
    )
    return tuple(
        about.detection(box, scores[index], int(classes[index]), mask=mask, keypoints=one)
        for index, box, mask, one in zip(kept, corners, painted, points, strict=True)
    )


def _mask(mask: Array, corners: Array, about: About) -> Array:
    """A mask [1, h, w] or [h, w] of the input or of the box, at the picture's size."""
    values = np.asarray(mask, np.float64).reshape(mask.shape[-2:])
    if about.spec.masks == "input":
        return laid_over(values, about.geometry) > about.spec.threshold
    height, width = about.geometry.picture
    for axis, (low, high, size) in enumerate(((corners[1], corners[3], height), (corners[0], corners[2], width))):
        places = (np.arange(size) + 0.5 - low) / max(high - low, 1e-6) * values.shape[axis] - 0.5
        values = between(values, axis, places)
    return within(values > about.spec.threshold, corners)
