"""A picture resized. Pixels are areas, whose centres are at half numbers (ONNX Resize's `half_pixel`).

What decodes in Triton's Python backend holds a copy of this module, so it imports nothing of tritonpm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tritonpm.core.tensors import Array

    Part = tuple[tuple[int, int], tuple[int, int]]  # (first, end) along height, along width

_FIXED = 1 << 22  # of which Pillow's weights are multiples
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}  # how far a kernel reaches, in pixels of the source


def resized(
    pixels: Array, sides: tuple[int, int], interpolation: str, *, antialias: bool, part: Part | None = None
) -> Array:
    """[height, width, …] in float32 with other `sides`, or a part of that; nothing is rounded."""
    plans: dict[int, tuple[Array, Array]] = {}
    for axis, size in enumerate(sides):
        first, end = part[axis] if part else (0, size)
        if pixels.shape[axis] == size:
            pixels = pixels[first:end] if axis == 0 else pixels[:, first:end]
            continue
        taps, weights = taps_of(pixels.shape[axis], size, interpolation, (first, end), antialias=antialias)
        needed, taps = np.unique(taps, return_inverse=True)  # no other pixel is read
        pixels = pixels if len(needed) == pixels.shape[axis] else np.take(pixels, needed, axis=axis)
        plans[axis] = taps.reshape(end - first, -1), weights
    for axis, (taps, weights) in plans.items():
        pixels = _gathered(pixels, axis, taps, weights)
    return pixels.astype(np.float32, copy=False)


def in_whole_numbers(pixels: Array, sides: tuple[int, int], interpolation: str, *, antialias: bool) -> Array:
    """The same of UINT8 as most programs do it: rounded to grey levels, by Pillow, which averages, after each axis."""
    if not antialias:
        return np.clip(np.rint(resized(pixels, sides, interpolation, antialias=False)), 0, 255)
    for axis in (1, 0):
        if pixels.shape[axis] != sides[axis]:
            whole = 0, sides[axis]
            taps, weights = taps_of(pixels.shape[axis], sides[axis], interpolation, whole, antialias=True)
            fixed = np.floor(weights * _FIXED + 0.5) / _FIXED
            pixels = np.clip(np.floor(_gathered(pixels, axis, taps, fixed, "float64") + 0.5), 0, 255)
    return pixels.astype(np.float32)


def _gathered(pixels: Array, axis: int, taps: Array, weights: Array, kind: str = "float32") -> Array:
    shape = [1] * pixels.ndim
    shape[axis] = len(taps)
    total = np.zeros((*pixels.shape[:axis], len(taps), *pixels.shape[axis + 1 :]), kind)
    for tap in range(taps.shape[1]):
        total += np.take(pixels, taps[:, tap], axis=axis) * weights[:, tap].reshape(shape).astype(kind)
    return total


def taps_of(
    size: int, wanted: int, interpolation: str, part: tuple[int, int], *, antialias: bool
) -> tuple[Array, Array]:
    """For each pixel of a part of those wanted the pixels it is made of [part, n], and the weight of each."""
    ratio = size / wanted
    centres = (np.arange(*part) + 0.5) * ratio
    if interpolation == "nearest":
        return np.minimum(np.floor(centres).astype(int), size - 1)[:, np.newaxis], np.ones((len(centres), 1))
    if interpolation == "area":
        return _areas(size, centres, max(ratio, 1.0))
    stretched = max(ratio, 1.0) if antialias else 1.0
    reach = _SUPPORT[interpolation] * stretched
    if antialias:
        first, count = np.floor(centres - reach), int(np.ceil(2 * reach)) + 2
    else:  # between pixels: as many on each side of the centre
        first, count = np.floor(centres - 0.5) - (reach - 1), int(2 * reach)
    taps = first.astype(int)[:, np.newaxis] + np.arange(count)
    distance = (taps - centres[:, np.newaxis] + 0.5) * (1 / stretched)
    # -0.5 as Pillow and PyTorch average, -0.75 as OpenCV, PyTorch and ONNX interpolate.
    weights = _linear(distance) if interpolation == "bilinear" else _cubic(distance, -0.5 if antialias else -0.75)
    if antialias:  # what is beyond the edge has no part in the mean
        weights = np.where((taps >= 0) & (taps < size), weights, 0.0)
    whole = np.cumsum(weights, axis=1)[:, -1:]  # one after the other, as Pillow, whose last bit decides what is half
    return np.clip(taps, 0, size - 1), weights / whole


def _areas(size: int, centres: Array, width: float) -> tuple[Array, Array]:
    """The share that each pixel of the source has in a wanted one's area."""
    low, high = np.clip(centres - width / 2, 0, size), np.clip(centres + width / 2, 0, size)
    taps = np.floor(low).astype(int)[:, np.newaxis] + np.arange(int(np.ceil(width)) + 1)
    overlap = np.minimum(taps + 1, high[:, np.newaxis]) - np.maximum(taps, low[:, np.newaxis])
    weights = np.clip(overlap, 0, None)
    return np.clip(taps, 0, size - 1), weights / weights.sum(axis=1, keepdims=True)


def _linear(distance: Array) -> Array:
    return np.asarray(np.clip(1 - np.abs(distance), 0, None))


def _cubic(distance: Array, a: float) -> Array:
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
