"""Where a picture lies in a model's input, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tritonpm.core.tensors import Array


@dataclass(frozen=True)
class Geometry:
    """A point (x, y) of the picture is (x · scale[1] + offset[1], y · scale[0] + offset[0]) in the input.

    All pairs are (height, width); an offset is negative where the picture was cropped.
    """

    picture: tuple[int, int]
    input: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def to_picture(self, points: Array) -> Array:
        """Points [..., 2] (x, y) of the input, in the picture's pixels."""
        offset, scale = np.array(self.offset[::-1]), np.array(self.scale[::-1])
        return np.asarray((np.asarray(points, np.float64) - offset) / scale)

    def to_input(self, points: Array) -> Array:
        """Points [..., 2] (x, y) of the picture, in the input's pixels."""
        return np.asarray(np.asarray(points, np.float64) * np.array(self.scale[::-1]) + np.array(self.offset[::-1]))


def identity(height: int, width: int) -> Geometry:
    """Of a picture that is the input."""
    return Geometry((height, width), (height, width))
