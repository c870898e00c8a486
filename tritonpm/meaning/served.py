"""Pictures to a server that takes them as they are, and what it found: with `serve: image` it does both ways itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.core.types import Signature
from tritonpm.meaning.decode.about import About
from tritonpm.meaning.geometry import identity
from tritonpm.meaning.objects import Classification, Objects, Segmentation
from tritonpm.meaning.pictures import batches
from tritonpm.meaning.spec import Decode

IMAGE = "image"  # the one input: UINT8 [n, height, width, 3] of red, green, blue
Infer = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def takes_pictures(signature: Signature) -> bool:
    """Whether a server's model has the input of a front."""
    return [(tensor.name, tensor.dtype) for tensor in signature.inputs] == [(IMAGE, "UINT8")]


def predict_served(
    spec: Decode, labels: tuple[str, ...], pictures: Sequence[Array], infer: Infer, *, most: int = 1
) -> Iterator[Objects]:
    """What each picture holds, by whom takes pictures; at most so many of one size in a request."""
    for part in batches((picture.shape for picture in pictures), most):
        yield from found(infer({IMAGE: np.stack(pictures[part])}), spec, labels)


def found(answer: Mapping[str, Array], spec: Decode, labels: tuple[str, ...]) -> tuple[Objects, ...]:
    """The objects of each picture in the answer of a front."""
    about = About(spec, labels, identity(1, 1))
    return tuple(_objects({name: array[row] for name, array in answer.items()}, about)
                 for row in range(len(answer["classes"])))  # fmt: skip


def _objects(answer: Mapping[str, Array], about: About) -> Objects:
    classes = answer["classes"]
    if about.spec.kind == "semantic-segmentation":
        return (Segmentation(classes, tuple(about.name(index) for index in range(len(about.labels) + 1))),)
    there = range(int((classes >= 0).sum()))  # what is filled up stands behind
    scores = answer["scores"]
    if "boxes" in answer:
        return tuple(about.detection(answer["boxes"][n], scores[n], int(classes[n])) for n in there)
    return tuple(Classification(int(classes[n]), about.name(int(classes[n])), float(scores[n])) for n in there)
