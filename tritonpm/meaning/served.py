"""Pictures to a server that takes them as they are, and what it found: with a front it does both ways itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.core.types import Signature, Tensor
from tritonpm.meaning.decode.about import About
from tritonpm.meaning.geometry import identity
from tritonpm.meaning.objects import (
    Anomaly,
    Classification,
    Detection,
    Embedding,
    Objects,
    Regression,
    Segmentation,
    Text,
)
from tritonpm.meaning.pictures import Encoded, batches, encoded, pixels
from tritonpm.meaning.spec import Decode
from tritonpm.meaning.stages import Meaning
from tritonpm.meaning.whole import decoded_whole, pictures_of_whole

IMAGE = "image"  # the one input of a front
PIXELS = Tensor(IMAGE, "UINT8", ("batch", "height", "width", 3))  # `serve: image`: red, green, blue
ENCODED = Tensor(IMAGE, "BYTES", ("batch", 1))  # `serve: encoded`: a JPEG or PNG each
_ANYWHERE = identity(1 << 24, 1 << 24)  # boxes are in the picture already, and within it
_ALWAYS = ("classes", "scores", "vector", "values")  # one of them is among the outputs of each front
Infer = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def takes_pictures(signature: Signature) -> bool:
    """Whether a server's model has the input of a front."""
    return _input(signature) in ((IMAGE, PIXELS.dtype), (IMAGE, ENCODED.dtype))


def takes_encoded(signature: Signature) -> bool:
    """Whether it is one that takes JPEG and PNG."""
    return _input(signature) == (IMAGE, ENCODED.dtype)


def _input(signature: Signature) -> tuple[str, str] | None:
    return (signature.inputs[0].name, signature.inputs[0].dtype) if len(signature.inputs) == 1 else None


def sent(
    signature: Signature, pictures: Sequence[Array | Path], format: str = "PNG"
) -> Sequence[Array] | Sequence[Encoded]:
    """Pictures as that server's front takes them: pixels, or files. Raises as `read_picture`."""
    if takes_encoded(signature):
        return [encoded(one, format) for one in pictures]
    return [pixels(one) for one in pictures]


def request(pictures: Sequence[Array] | Sequence[Encoded]) -> dict[str, Array]:
    """The input that pictures of one size are."""
    files = [[one.data] for one in pictures if isinstance(one, Encoded)]
    return {IMAGE: np.array(files, np.object_) if files else np.stack(pictures)}  # type: ignore[arg-type]


def predict_served(
    meaning: Meaning, pictures: Sequence[Array] | Sequence[Encoded], infer: Infer, *, most: int = 1
) -> Iterator[Objects]:
    """What each picture holds, by whom takes pictures; at most so many of one size in a request."""
    for part in batches((picture.shape for picture in pictures), most):
        yield from answered(infer(request(pictures[part])), meaning)


def answered(answer: Mapping[str, Array], meaning: Meaning) -> tuple[Objects, ...]:
    """The objects of each picture in the answer of a front, with what later stages say of what was cut out.

    Raises ValueError where the answer is not what the package says of it.
    """
    if any(part.of for part in meaning.parts):
        return decoded_whole(answer, meaning.parts, (_ANYWHERE,) * pictures_of_whole(answer, meaning.parts))
    return found(answer, meaning.answers[0].decode, meaning.labels)


def found(answer: Mapping[str, Array], spec: Decode, labels: tuple[str, ...]) -> tuple[Objects, ...]:
    """The objects of each picture in the answer of a front."""
    about = About(spec, labels, identity(1, 1))
    rows = next(len(answer[name]) for name in _ALWAYS if name in answer)
    return tuple(_objects({name: array[row] for name, array in answer.items()}, about) for row in range(rows))


def _objects(answer: Mapping[str, Array], about: About) -> Objects:
    kind = about.spec.kind
    if kind == "embedding":
        return (Embedding(tuple(answer["vector"].tolist())),)
    if kind == "regression":
        return (Regression(tuple(answer["values"].tolist())),)
    if kind == "ocr-recognition":
        characters = answer["characters"][: int(answer["count"][0])].tolist()
        text = "".join(one.decode() if isinstance(one, bytes) else str(one) for one in characters)
        return (Text(text, float(answer["scores"][0])),)
    if kind == "anomaly-map":
        score, anomalous = float(answer["scores"][0]), bool(answer["anomalous"][0])
        return (Anomaly(score, anomalous, answer.get("map"), about.spec.threshold),)
    classes = answer["classes"]
    if kind == "semantic-segmentation":
        return (Segmentation(classes, tuple(about.name(index) for index in range(len(about.labels) + 1))),)
    there = range(int((classes >= 0).sum()))  # what is filled up stands behind
    if "boxes" in answer:
        return tuple(_detection(answer, number, about) for number in there)
    scores = answer["scores"]
    return tuple(Classification(int(classes[n]), about.name(int(classes[n])), float(scores[n])) for n in there)


def _detection(answer: Mapping[str, Array], number: int, about: About) -> Detection:
    points = answer["keypoints"][number].tolist() if "keypoints" in answer else ()
    return about.detection(
        answer["boxes"][number],
        answer["scores"][number],
        int(answer["classes"][number]),
        mask=answer["masks"][number] if "masks" in answer else None,
        keypoints=tuple(map(tuple, points)),
        angle=float(answer["angles"][number]) if "angles" in answer else None,
        polygon=tuple((float(x), float(y)) for x, y in answer["polygons"][number]) if "polygons" in answer else (),
    )
