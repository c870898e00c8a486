"""What is said of a picture as a whole: classes, a vector, numbers."""

from __future__ import annotations

import numpy as np

from tritonpm.meaning.decode.about import About, Outputs, activated
from tritonpm.meaning.objects import Classification, Embedding, Regression


def classification(outputs: Outputs, about: About) -> tuple[Classification, ...]:
    """The likeliest classes, best first."""
    scores = activated(outputs["scores"].ravel(), about.spec.activation)
    order = np.argsort(-scores, kind="stable")[: about.spec.top_k]
    return tuple(Classification(index, about.name(index), float(scores[index])) for index in order.tolist())


def multi_label(outputs: Outputs, about: About) -> tuple[Classification, ...]:
    """Every class whose score counts, best first."""
    scores = activated(outputs["scores"].ravel(), about.spec.activation)
    order = np.argsort(-scores, kind="stable")[: about.spec.most].tolist()
    counted = [index for index in order if scores[index] >= about.spec.score]
    return tuple(Classification(index, about.name(index), float(scores[index])) for index in counted)


def embedding(outputs: Outputs, about: About) -> tuple[Embedding, ...]:
    """The vector as it is."""
    return (Embedding(tuple(float(value) for value in outputs["vector"].ravel())),)


def regression(outputs: Outputs, about: About) -> tuple[Regression, ...]:
    """The values as they are."""
    return (Regression(tuple(float(value) for value in outputs["values"].ravel())),)
