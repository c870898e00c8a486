"""What a picture or a text holds, as a model sees it: frozen, in the picture's own pixels, with numbers as numbers."""

from __future__ import annotations

from dataclasses import dataclass

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
    """One object. `mask` is a bool array of the picture's size; `angle` (radians) turns the box about its centre."""

    box: Box
    score: float
    class_id: int
    name: str
    mask: Array | None = None
    keypoints: tuple[tuple[float, ...], ...] = ()  # (x, y) or (x, y, how visible)
    angle: float | None = None
    polygon: tuple[tuple[float, float], ...] = ()  # of a text that lies askew


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


@dataclass(frozen=True, eq=False)
class Anomaly:
    """How unusual a picture is, and where: `map` of the picture's size, None where the model gives none."""

    score: float
    anomalous: bool
    map: Array | None
    threshold: float


Object = Detection | Classification | Text | Embedding | Regression | Segmentation | Anomaly
Objects = tuple[Object, ...]
