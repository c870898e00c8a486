"""DETR and YOLOS (softmax, the last class is none), RT-DETR and Deformable DETR (sigmoid): queries, each an object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tritonpm.meaning.decode.about import About, Outputs, activated
from tritonpm.meaning.laid_over import laid_over
from tritonpm.meaning.objects import Detection


def detr(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Scores [queries, classes] and boxes [queries, 4]; with a sigmoid a query may be several objects."""
    spec = about.spec
    scores = activated(outputs["scores"], spec.activation)
    if (none := about.background(scores.shape[1])) is not None:
        scores[:, none] = -1.0
    queries, classes = len(scores), scores.shape[1]
    if spec.activation == "sigmoid":
        order = np.argsort(-scores.ravel(), kind="stable")[: min(queries, spec.most)]
        found = [(index // classes, index % classes) for index in order.tolist()]
    else:
        order = np.argsort(-scores.max(axis=1), kind="stable")[: spec.most]
        found = [(index, int(scores[index].argmax())) for index in order.tolist()]
    found = [pair for pair in found if scores[pair] >= spec.score]
    about = replace(about, spec=replace(spec, boxes="cxcywh", space="unit"))
    corners = about.cut(about.corners(outputs["boxes"]))
    masks = outputs.get("masks")
    level = np.log(spec.threshold / (1 - spec.threshold)) if 0 < spec.threshold < 1 else 0.0
    return tuple(
        about.detection(
            corners[query],
            scores[query, kind],
            kind,
            mask=None if masks is None else laid_over(masks[query].astype(np.float64), about.geometry) > level,
        )
        for query, kind in found
    )
