"""What a picture or a text holds, as a model sees it: frozen, in the picture's own pixels, with numbers as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tritonpm.core.tensors import Array


@dataclass(frozen=True)
class Box:
    """Corners in the picture's pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """In square pixels."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


@dataclass(frozen=True, eq=False)
class Detection:
    """One object. `mask` is a bool array of the picture's size; `angle` (radians) turns the box about its centre.

    `answers` is what later stages say of it.
    """

    box: Box
    score: float
    class_id: int
    name: str
    mask: Array | None = None
    keypoints: tuple[tuple[float, ...], ...] = ()  # (x, y) or (x, y, how visible)
    angle: float | None = None
    polygon: tuple[tuple[float, float], ...] = ()  # of a text that lies askew
    answers: tuple[Object, ...] = ()


@dataclass(frozen=True)
class Classification:
    """One class and how likely it is."""

    class_id: int
    name: str
    score: float


@dataclass(frozen=True)
class Text:
    """What is written, and how sure that is."""

    text: str
    score: float


@dataclass(frozen=True)
class Embedding:
    """A vector that is near those of what is alike."""

    vector: tuple[float, ...]


@dataclass(frozen=True)
class Regression:
    """Numbers."""

    values: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The class of every pixel of the picture; `names` by class."""

    classes: Array
    names: tuple[str, ...]

    def name(self, class_id: int) -> str:
        """Of a class; its number where the model knows more than there are names."""
        return self.names[class_id] if 0 <= class_id < len(self.names) else str(class_id)


@dataclass(frozen=True, eq=False)
class Anomaly:
    """How unusual a picture is, and where: `map` of the picture's size, None where the model gives none."""

    score: float
    anomalous: bool
    map: Array | None
    threshold: float


Object = Detection | Classification | Text | Embedding | Regression | Segmentation | Anomaly
Objects = tuple[Object, ...]


def plain(one: Object) -> dict[str, Any]:
    """An object as JSON says it: its kind, numbers as numbers; a mask as run lengths, row by row, off first."""
    said: dict[str, Any] = {"kind": type(one).__name__.lower()}
    for name, value in vars(one).items():
        if isinstance(value, Box):
            said[name] = [value.left, value.top, value.right, value.bottom]
        elif isinstance(value, np.ndarray):
            said[name] = {"size": list(value.shape), **_packed(value)}
        elif name == "answers" and value:
            said[name] = [plain(answer) for answer in value]
        elif value is not None and value != ():
            said[name] = value
    return said


def _packed(array: Array) -> dict[str, Any]:
    """What an array of a picture's size holds: runs of yes and no, runs of classes, or how high it goes."""
    flat = array.ravel()
    if array.dtype.kind == "f":
        return {"least": float(flat.min(initial=np.inf)), "most": float(flat.max(initial=-np.inf))}
    if array.dtype.kind == "b":
        return {"runs": runs(array)}
    starts = _starts(flat)
    return {"runs": _lengths(starts, flat.size), "values": flat[starts].tolist()}


def runs(mask: Array) -> tuple[int, ...]:
    """The run lengths of a bool array, row by row, off first."""
    flat = mask.ravel()
    lengths = _lengths(_starts(flat), flat.size)
    return (0, *lengths) if flat.size and flat[0] else tuple(lengths)


def _starts(flat: Array) -> Array:
    """Where something else begins."""
    return np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]])) if flat.size else np.zeros(0, int)


def _lengths(starts: Array, size: int) -> list[int]:
    return [int(length) for length in np.diff(np.append(starts, size)).tolist()]
