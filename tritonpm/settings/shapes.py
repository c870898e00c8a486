"""The one syntax of shapes: INPUT=LEAST:BEST:MOST, each sizes joined by x."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tritonpm.core.errors import UsageError

EXAMPLE = "image=1x3x320x320:8x3x640x640:16x3x1280x1280"
HOW = f"write it as in --shape {EXAMPLE}"
_SHAPE = re.compile(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*")


@dataclass(frozen=True)
class ShapeRange:
    """The shapes of one input that an engine must take: each with the batch axis."""

    least: tuple[int, ...]
    best: tuple[int, ...]
    most: tuple[int, ...]


def parse_shape(text: str) -> tuple[str, ShapeRange]:
    """An input and its range; a single shape is all three. Raises UsageError."""
    name, equals, rest = text.rpartition("=")
    shapes = rest.split(":")
    if not equals or not name or len(shapes) not in (1, 3) or not all(_SHAPE.fullmatch(shape) for shape in shapes):
        raise UsageError(f"{text!r} is not a range of shapes", do=HOW)
    least, best, most = (tuple(map(int, shape.split("x"))) for shape in (shapes if len(shapes) == 3 else shapes * 3))
    if not len(least) == len(best) == len(most):
        raise UsageError(f"the shapes of {name!r} have different ranks", do=HOW)
    if not all(low <= middle <= high for low, middle, high in zip(least, best, most, strict=True)):
        raise UsageError(f"the shapes of {name!r} do not grow from the first to the last", do="give LEAST:BEST:MOST")
    return name, ShapeRange(least, best, most)


def shape_ranges(shapes: Mapping[str, str]) -> dict[str, ShapeRange]:
    """Optimisation profiles from text: input → LEAST:BEST:MOST. Raises UsageError."""
    return dict(parse_shape(f"{name}={text}") for name, text in shapes.items())


def shape_text(shape: tuple[int | str, ...]) -> str:
    """As it is written: 1x3x320x320."""
    return "x".join(map(str, shape))
