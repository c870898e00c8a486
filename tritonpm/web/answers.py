"""An answer as the page and the REST API tell it: its tensors, and what pictures hold, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tritonpm.core.tensors import Array, triton_dtype
from tritonpm.meaning.draw import Area, areas_of, colour_of, corners_of
from tritonpm.meaning.objects import (
    Anomaly,
    Classification,
    Detection,
    Embedding,
    Object,
    Regression,
    Segmentation,
    Text,
    runs,
)
from tritonpm.meaning.verdict import ANOMALOUS, NORMAL
from tritonpm.operations.seen import Seen, SeenPicture
from tritonpm.web.language import ENGLISH, Language

_VALUES, _PICTURES = 64, 16  # that are told of a tensor, of an answer


@dataclass(frozen=True)
class Output:
    """A tensor of an answer; `values` are the first few, as text."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class AreaView:
    """Which pixels of the picture belong to something: run lengths, row by row, those that do not first.

    `share` is how much of the picture they are, from 0 to 1.
    """

    label: str
    colour: str
    share: float
    runs: tuple[int, ...]


@dataclass(frozen=True)
class ObjectView:
    """One object, in the picture's pixels.

    `box` is left, top, right, bottom; `outline` what to draw: the box, turned where it has an angle, or a polygon;
    `values` the numbers of an embedding or a regression; `answers` what later stages say of the object.
    """

    kind: str
    label: str = ""
    score: float | None = None
    box: tuple[float, float, float, float] | None = None
    colour: str = ""
    outline: tuple[tuple[float, float], ...] = ()
    keypoints: tuple[tuple[float, ...], ...] = ()
    areas: tuple[AreaView, ...] = ()
    values: tuple[float, ...] = ()
    answers: tuple[ObjectView, ...] = ()


@dataclass(frozen=True)
class PictureObjects:
    """What one picture, or one row of the input, holds: 0 x 0 where nothing says how large it is.

    `verdict` is OK or NG, "" where the package has none, and `failed` the conditions that do not hold.
    """

    width: int
    height: int
    objects: tuple[ObjectView, ...]
    verdict: str = ""
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnswerView:
    """An answer: its tensors, and by the package's `decode` what each picture holds.

    `unknown` are the outputs of which nobody says what they mean, for the `reason` given; objects count from a score
    of `threshold` on, where they have one. `ms` is what the inference took, as the page saw it.
    """

    outputs: tuple[Output, ...]
    pictures: tuple[PictureObjects, ...] = ()
    unknown: tuple[str, ...] = ()
    reason: str = ""
    threshold: float | None = None
    ms: float = 0.0


def told(seen: Seen, say: Language = ENGLISH) -> AnswerView:
    """What was seen, as it is told in a client's language."""
    outputs = tuple(_output(name, array) for name, array in seen.answer.items())
    pictures = tuple(map(_picture, seen.pictures[:_PICTURES]))
    return AnswerView(outputs, pictures, seen.unknown, say.told(seen.reason), seen.threshold, seen.ms)


def _output(name: str, array: Array) -> Output:
    flat = array.ravel()[:_VALUES]
    values = tuple(f"{v:.5g}" if array.dtype.kind in "fV" else _text(v) for v in flat)
    return Output(name, triton_dtype(array.dtype), tuple(array.shape), values)


def _text(value: object) -> str:
    return value.decode(errors="replace")[:200] if isinstance(value, bytes) else str(value)


def _picture(picture: SeenPicture) -> PictureObjects:
    objects = tuple(map(_object, picture.objects))
    verdict = picture.verdict
    said = (verdict.word, verdict.failed) if verdict else ("", ())
    return PictureObjects(picture.width, picture.height, objects, *said)


def _object(one: Object) -> ObjectView:
    view = _of(one)
    areas = tuple(map(_area, areas_of(one)))
    return ObjectView(type(one).__name__.lower(), **view, areas=areas)


def _of(one: Object) -> Mapping[str, Any]:
    """What each kind of object has."""
    match one:
        case Detection(box=box):
            return {
                "label": one.name, "score": one.score, "box": (box.left, box.top, box.right, box.bottom),
                "colour": _hex(colour_of(one.class_id)), "outline": tuple(corners_of(one)),
                "keypoints": one.keypoints, "answers": tuple(map(_object, one.answers)),
            }  # fmt: skip
        case Classification():
            return {"label": one.name, "score": one.score, "colour": _hex(colour_of(one.class_id))}
        case Text():
            return {"label": one.text, "score": one.score}
        case Anomaly():
            return {"label": ANOMALOUS if one.anomalous else NORMAL, "score": one.score}
        case Embedding():
            return {"values": one.vector[:_VALUES]}
        case Regression():
            return {"values": one.values[:_VALUES]}
        case Segmentation():
            return {}


def _area(area: Area) -> AreaView:
    return AreaView(area.name, _hex(area.colour), float(np.mean(area.mask)) if area.mask.size else 0.0, runs(area.mask))


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
