"""Where a picture of some size comes to lie in a model's input.

What decodes in Triton's Python backend holds a copy of this module, so it imports nothing of tritonpm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.meaning.spec import Preprocess

MOST_PLACED = 1 << 24  # pixels that a picture may become where it is decoded: 192 MiB while they are computed


def placed(height: int, width: int, spec: Preprocess) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(sides that the picture is resized to, sides of the input, where the picture's corner is in it)."""
    sides = _sides(height, width, spec)
    if spec.resize == "shortest-side" and spec.size:
        offset = tuple(round((whole - side) / 2) for whole, side in zip(spec.size, sides))
        return sides, spec.size, (offset[0], offset[1])
    if spec.resize in ("letterbox", "height") and spec.size:
        canvas = spec.size if spec.resize == "letterbox" else (spec.size[0], max(spec.size[1], sides[1]))
        free = canvas[0] - sides[0], canvas[1] - sides[1]
        return sides, canvas, (free[0] // 2, free[1] // 2) if spec.position == "centre" else (0, 0)
    return sides, sides, (0, 0)


def seen(side: int, room: int, start: int) -> tuple[slice, slice]:
    """Along one axis: what is seen of a resized picture that begins at `start` of an input, and where it is there."""
    first, end = max(0, -start), max(0, min(side, room - start))
    return slice(first, end), slice(max(0, start), max(0, min(room, start + side)))


def _sides(height: int, width: int, spec: Preprocess) -> tuple[int, int]:
    if spec.resize == "none" or (spec.size is None and spec.shortest is None):
        return height, width
    if spec.resize == "shortest-side":
        return _multiple(_shortest(height, width, spec), spec)
    tall, wide = spec.size or (height, width)
    if spec.resize == "stretch":
        return tall, wide
    if spec.resize == "height":
        return tall, max(1, math.ceil(width * tall / height))
    ratio = _bounded(min(tall / height, wide / width), spec)
    sides = max(1, round(height * ratio)), max(1, round(width * ratio))
    return _multiple(sides, spec) if spec.resize == "fit" else sides


def _shortest(height: int, width: int, spec: Preprocess) -> tuple[int, int]:
    """Both sides, as torchvision and transformers round them: the longer one down."""
    short, long = min(height, width), max(height, width)
    shortest = float(spec.shortest or short)
    if spec.longest and long / short * shortest > spec.longest:
        shortest = spec.longest * short / long
    shortest = short * _bounded(shortest / short, spec)
    one, other = max(1, round(shortest)), max(1, int(shortest * long / short + 1e-9))
    return (one, other) if height <= width else (other, one)


def _bounded(ratio: float, spec: Preprocess) -> float:
    if (ratio > 1 and not spec.enlarge) or (ratio < 1 and not spec.reduce):
        return 1.0
    return ratio


def _multiple(sides: tuple[int, int], spec: Preprocess) -> tuple[int, int]:
    def near(side: int) -> int:
        times = math.ceil(side / spec.multiple) if spec.multiple_above else round(side / spec.multiple)
        return max(1, times) * spec.multiple

    return near(sides[0]), near(sides[1])
