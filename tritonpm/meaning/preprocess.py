"""A picture as a model's input, in plain NumPy: what every other way of doing it is proved against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tritonpm.core.tensors import Array, numpy_dtype
from tritonpm.core.types import Signature
from tritonpm.meaning.geometry import Geometry
from tritonpm.meaning.placing import placed, seen
from tritonpm.meaning.resampling import in_whole_numbers, resized
from tritonpm.meaning.spec import MOST_SIDE, Preprocess

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue in grey: ITU-R 601, as Pillow has it


@dataclass(frozen=True)
class Prepared:
    """Inputs by tensor name, and where the picture lies in them."""

    inputs: Mapping[str, Array]
    geometry: Geometry


def prepare(picture: Array, spec: Preprocess, dtypes: Mapping[str, str], *, whole_numbers: bool = False) -> Prepared:
    """One picture, UINT8 [height, width, 3] of red, green, blue or [height, width] of grey, as the model's inputs.

    `dtypes` are those of the model's inputs by name; `whole_numbers`: what is resized is rounded to grey levels.
    """
    height, width = picture.shape[:2]
    (tall, wide), (canvas_tall, canvas_wide), (top, left) = placed(height, width, spec)
    resize = in_whole_numbers if whole_numbers else resized
    pixels = _coloured(resize(picture, (tall, wide), spec.interpolation, antialias=spec.antialias), spec.colour)
    canvas = _pasted(pixels, (canvas_tall, canvas_wide), (top, left), spec.fill)
    scaled = (canvas * np.float32(spec.scale) - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    geometry = Geometry((height, width), (canvas_tall, canvas_wide), (tall / height, wide / width), (top, left))
    name = spec.input or next(name for name in dtypes if name not in spec.geometry)
    told = {
        other: _told(what, geometry, (tall, wide), batched=spec.layout[0] == "N").astype(numpy_dtype(dtypes[other]))
        for other, what in spec.geometry.items()
    }
    return Prepared({name: _laid_out(scaled, spec), **told}, geometry)


def stretched(signature: Signature) -> Preprocess | None:
    """Where nobody says it: the picture stretched, its values as they are; None: it takes no image.

    That is a single input of a fixed size with one channel or three.
    """
    shape = signature.inputs[0].shape if len(signature.inputs) == 1 else None
    if not shape or len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
        return None
    one, two, three = (int(size) for size in shape[1:])
    if not {one, three} & {1, 3} or max(one, two, three) > MOST_SIDE:
        return None
    first = one in (1, 3)
    return Preprocess(
        input=signature.inputs[0].name, colour="GRAY" if (one if first else three) == 1 else "RGB",
        size=(two, three) if first else (one, two), interpolation="bilinear", antialias=True,
        layout="NCHW" if first else "NHWC", dtype=signature.inputs[0].dtype,
    )  # fmt: skip


def _coloured(picture: Array, colour: str) -> Array:
    """[height, width, channels] in float."""
    pixels = picture.astype(np.float32, copy=False)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2) if colour != "GRAY" else pixels[..., np.newaxis]
    elif colour == "GRAY":
        pixels = (pixels[..., :3] @ LUMA)[..., np.newaxis]
    return pixels[..., 2::-1] if colour == "BGR" else pixels[..., :3]


def _pasted(pixels: Array, canvas: tuple[int, int], at: tuple[int, int], fill: float) -> Array:
    """The pixels on a canvas, cut where they are beyond it."""
    if pixels.shape[:2] == canvas and at == (0, 0):
        return pixels
    whole = np.full((*canvas, pixels.shape[2]), fill, np.float32)
    rows, columns = (seen(*one) for one in zip(pixels.shape[:2], canvas, at, strict=True))
    whole[rows[1], columns[1]] = pixels[rows[0], columns[0]]
    return whole


def _laid_out(pixels: Array, spec: Preprocess) -> Array:
    ordered = pixels.transpose(2, 0, 1) if spec.layout.endswith("CHW") else pixels
    kind = numpy_dtype(spec.dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        ordered = np.clip(np.rint(ordered), limits.min, limits.max)
    array = np.ascontiguousarray(ordered, dtype=kind)
    return array[np.newaxis] if spec.layout[0] == "N" else array


def undone(array: Array, spec: Preprocess) -> tuple[Array, ...]:
    """The pictures that an input shows, UINT8 [height, width, 3], as large as the input is."""
    rows = array if spec.layout[0] == "N" else array[np.newaxis]
    pixels = np.asarray(rows, np.float32)
    pixels = pixels.transpose(0, 2, 3, 1) if spec.layout.endswith("CHW") else pixels
    pixels = (pixels * np.array(spec.std, np.float32) + np.array(spec.mean, np.float32)) / np.float32(spec.scale)
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    if spec.colour == "GRAY":
        pixels = np.repeat(pixels, 3, axis=3)
    return tuple(np.ascontiguousarray(one[..., ::-1] if spec.colour == "BGR" else one) for one in pixels)


def _told(what: str, geometry: Geometry, sides: tuple[int, int], *, batched: bool) -> Array:
    if what == "pixel-mask":
        value = _pasted(np.ones((*sides, 1), np.float32), geometry.input, _corner(geometry), 0.0)[..., 0]
    else:
        sizes = {"input-size": geometry.input, "picture-size": geometry.picture, "scale-factor": geometry.scale}
        value = np.array(geometry.picture[::-1] if what == "picture-size-wh" else sizes[what], np.float64)
    return value[np.newaxis] if batched else value


def _corner(geometry: Geometry) -> tuple[int, int]:
    return int(geometry.offset[0]), int(geometry.offset[1])


def stacked(prepared: Sequence[Prepared]) -> dict[str, Array]:
    """Several pictures as one batch. Raises ValueError where their inputs differ in size."""
    names = prepared[0].inputs
    return {name: np.concatenate([one.inputs[name] for one in prepared]) for name in names}
