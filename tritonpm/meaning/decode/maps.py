"""What is said of every pixel: its class, or how unusual it is."""

from __future__ import annotations

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode.about import About, Outputs, activated
from tritonpm.meaning.laid_over import laid_over
from tritonpm.meaning.objects import Anomaly, Segmentation


def semantic_segmentation(outputs: Outputs, about: About) -> tuple[Segmentation, ...]:
    """Scores [classes, h, w] (one class: where it is above the threshold), or classes [h, w] as whole numbers."""
    scores = outputs["scores"]
    if scores.dtype.kind in "iub":
        classes = np.rint(_nearest(scores.reshape(scores.shape[-2:]), about)).astype(np.int32)
        count = min(int(classes.max(initial=0)), len(about.labels)) + 1  # the others have their number
    elif len(scores) == 1:
        share = activated(scores[0], about.spec.activation if about.spec.activation == "sigmoid" else "none")
        classes, count = (laid_over(share, about.geometry) >= about.spec.threshold).astype(np.int32), 2
    else:
        layers = [laid_over(one.astype(np.float64), about.geometry) for one in scores]
        classes, count = np.argmax(layers, axis=0).astype(np.int32), len(layers)
    return (Segmentation(classes, tuple(about.name(index) for index in range(count))),)


def _nearest(classes: Array, about: About) -> Array:
    """The class of the pixel of the input that a pixel of the picture lies in: between two classes there is none."""
    geometry = about.geometry
    for axis in (0, 1):
        size = classes.shape[axis]
        centres = (np.arange(geometry.picture[axis]) + 0.5) * geometry.scale[axis] + geometry.offset[axis]
        index = np.floor(centres * size / geometry.input[axis]).astype(int)
        classes = np.take(classes, np.clip(index, 0, size - 1), axis)
    return classes


def anomaly_map(outputs: Outputs, about: About) -> tuple[Anomaly, ...]:
    """A map, a score, or both; without a score the map's largest value is it."""
    unusual = outputs.get("map")
    laid = None
    if unusual is not None:
        laid = laid_over(np.asarray(unusual, np.float64).reshape(unusual.shape[-2:]), about.geometry)
    score = float(outputs["score"].ravel()[0]) if laid is None or "score" in outputs else float(laid.max())
    return (Anomaly(score, score >= about.spec.score, laid, about.spec.threshold),)
