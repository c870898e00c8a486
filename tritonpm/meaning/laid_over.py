"""A map over a model's input, laid over the picture: pixels are areas, whose centres are at half numbers."""

from __future__ import annotations

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.geometry import Geometry


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
