"""Pixels between pixels: a picture resized, and a map of a model's input laid over the picture. Pixels are areas, whose
centres are at half numbers (ONNX Resize's `half_pixel`); nothing is rounded.
"""

from __future__ import annotations

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.geometry import Geometry

_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}  # how far a kernel reaches, in pixels of the source


def resized(pixels: Array, sides: tuple[int, int], interpolation: str, *, antialias: bool) -> Array:
    """[height, width, …] in float32 with other `sides`."""
    for axis, size in enumerate(sides):
        if pixels.shape[axis] != size:
            taps, weights = _taps(pixels.shape[axis], size, interpolation, antialias=antialias)
            pixels = _gathered(pixels, axis, taps, weights)
    return pixels.astype(np.float32, copy=False)


def _gathered(pixels: Array, axis: int, taps: Array, weights: Array) -> Array:
    shape = [1] * pixels.ndim
    shape[axis] = len(taps)
    total = np.zeros((*pixels.shape[:axis], len(taps), *pixels.shape[axis + 1 :]), np.float32)
    for tap in range(taps.shape[1]):
        total += np.take(pixels, taps[:, tap], axis=axis) * weights[:, tap].reshape(shape).astype(np.float32)
    return total


def _taps(size: int, wanted: int, interpolation: str, *, antialias: bool) -> tuple[Array, Array]:
    """For each pixel that is wanted the pixels it is made of [wanted, n], and the weight of each."""
    ratio = size / wanted
    centres = (np.arange(wanted) + 0.5) * ratio
    if interpolation == "nearest":
        return np.minimum(np.floor(centres).astype(int), size - 1)[:, np.newaxis], np.ones((wanted, 1))
    if interpolation == "area":
        return _areas(size, centres, max(ratio, 1.0))
    stretched = max(ratio, 1.0) if antialias else 1.0
    reach = _SUPPORT[interpolation] * stretched
    first = np.floor(centres - reach).astype(int)
    taps = first[:, np.newaxis] + np.arange(int(np.ceil(2 * reach)) + 2)
    distance = (taps + 0.5 - centres[:, np.newaxis]) / stretched
    # -0.5 as Pillow and PyTorch average, -0.75 as OpenCV, PyTorch and ONNX interpolate.
    weights = _linear(distance) if interpolation == "bilinear" else _cubic(distance, -0.5 if antialias else -0.75)
    if antialias:  # what is beyond the edge has no part in the mean
        weights = np.where((taps >= 0) & (taps < size), weights, 0.0)
    return np.clip(taps, 0, size - 1), weights / weights.sum(axis=1, keepdims=True)


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


def laid_over(values: Array, geometry: Geometry) -> Array:
    """A map [height, width] over a model's input, as float at each pixel of the picture; beyond it its edge."""
    for axis in (0, 1):
        size = values.shape[axis]
        centres = (np.arange(geometry.picture[axis]) + 0.5) * geometry.scale[axis] + geometry.offset[axis]
        values = between(values, axis, centres * size / geometry.input[axis] - 0.5)
    return values


def between(values: Array, axis: int, places: Array) -> Array:
    """The values at fractional `places` along one axis; beyond the ends the last."""
    places = np.clip(places, 0, values.shape[axis] - 1)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (places - low).reshape([-1 if one == axis else 1 for one in range(values.ndim)])
    return np.asarray(np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share)
