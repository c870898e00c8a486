"""The model of Triton's Python backend that decodes JPEG and PNG before a front: `serve: encoded`.

Rendered into the repository with what it takes of `tritonpm.meaning` in it, so that NVIDIA's container runs the same;
it needs Pillow where Triton runs. `image` is BYTES [n, 1], `pixels` UINT8 [n, height, width, 3] of red, green and blue:
the pictures as they are or, where the parameter `placed` says how, as they lie in the model's input. Then `places` is
FP64 [n, 8]: heights and widths of the picture, of the input, of a pixel's step and of the picture's corner.
The oldest images have Python 3.8, which this and what it takes keep to.
"""

from __future__ import annotations

import io
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from tritonpm.meaning.placing import MOST_PLACED, placed, seen
from tritonpm.meaning.resampling import resized, taps_of

# Of 16 MiB each, kept for the next picture: to get new memory costs more than to decode.
os.environ.setdefault("PILLOW_BLOCKS_MAX", "8")
try:
    from PIL import Image, ImageOps
except ImportError:
    what = "decoding JPEG and PNG needs Pillow where Triton runs: pip install pillow"
    raise pb_utils.TritonModelException(what) from None

FORMATS = ("JPEG", "PNG")
MOST_PIXELS = 1 << 26  # of the pictures of one request together: 192 MiB when they are decoded
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit above is stricter
_NEAR = 1e-6  # of a pixel: what is nearer to a whole number is one

if TYPE_CHECKING:
    Pair = tuple[int, int]  # along height, along width
    Decoded = tuple[NDArray[np.uint8], NDArray[np.float64]]  # pixels and places


class RefusedError(Exception):
    """What a request holds cannot be decoded; its one sentence."""


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """As many threads as there are cores: Pillow decodes without Python's lock."""
        said = json.loads(args["model_config"]).get("parameters", {}).get("placed")
        self.spec = _spec(json.loads(said["string_value"])) if said else None
        self.pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Decode the pictures of all requests side by side, and answer each request for itself.

        A bad picture is the error of its own request only. What is handed on of one request is of one size.
        """
        begun = [self._begun(pb_utils.get_input_tensor_by_name(one, "image").as_numpy().ravel()) for one in requests]
        return [self._answer(one) for one in begun]

    def finalize(self) -> None:
        """End the threads."""
        self.pool.shutdown()

    def _begun(self, rows: Sequence[bytes]) -> list[Future[Decoded]] | RefusedError:
        try:
            images = [_opened(row, number) for number, row in enumerate(rows)]
            if (total := sum(image.width * image.height for image in images)) > MOST_PIXELS:
                raise RefusedError(f"the pictures of one request have {total} pixels, and may have {MOST_PIXELS}")
        except RefusedError as refusal:
            return refusal
        return [self.pool.submit(_decoded, image, number, self.spec) for number, image in enumerate(images)]

    def _answer(self, begun: list[Future[Decoded]] | RefusedError) -> Any:
        try:
            if isinstance(begun, RefusedError):
                raise begun
            pixels, places = zip(*(one.result() for one in begun))
            if len(sizes := {one.shape[:2] for one in pixels}) > 1:
                listed = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
                resized = " when they are resized" if self.spec else ""
                raise RefusedError(f"the pictures of one request are of one size{resized}, not of {listed}")
        except RefusedError as refusal:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(refusal)))
        given = {"pixels": pixels, "places": places} if self.spec else {"pixels": pixels}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, _together(rows)) for name, rows in given.items()])


def _spec(said: Mapping[str, Any]) -> SimpleNamespace:
    """How the picture comes to lie in the input, as `placed` and `resized` read it."""
    return SimpleNamespace(**{**said, "size": tuple(said["size"]) if said["size"] else None})


def _together(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return rows[0][np.newaxis] if len(rows) == 1 else np.stack(rows)


def _opened(encoded: bytes, number: int) -> Any:
    """The picture, of which only the header was read yet."""
    try:
        return Image.open(io.BytesIO(encoded), formats=FORMATS)
    except Exception:  # whatever Pillow stumbles over, it is the picture's fault
        raise RefusedError(f"picture {number} is not a JPEG or PNG of {len(encoded)} bytes") from None


def _decoded(image: Any, number: int, spec: Any) -> Decoded:
    """As it is meant to be seen, whatever turn a camera noted; of 16 bits of grey the upper ones."""
    try:
        ImageOps.exif_transpose(image, in_place=True)  # which copies only what is turned
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
        image = image if image.mode == "RGB" else image.convert("RGB")
        return _placed(image, (image.height, image.width), spec) if spec else (np.asarray(image), np.empty(0))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise RefusedError(f"picture {number} cannot be decoded ({reason})") from None


def _placed(image: Any, size: Pair, spec: Any) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The picture resized and on its canvas, or what is cut out of it, and where it lies there."""
    sides, canvas, corner = placed(*size, spec)
    if canvas[0] * canvas[1] > MOST_PLACED:
        raise ValueError(f"it becomes {canvas[1]} x {canvas[0]} pixels, more than {MOST_PLACED}")
    rows, columns = (seen(*one) for one in zip(sides, canvas, corner))
    part = (rows[0].start, rows[0].stop), (columns[0].start, columns[0].stop)
    pixels = _resized(image, size, sides, part, spec)
    if pixels.shape[:2] != canvas:
        whole = np.full((*canvas, 3), int(spec.fill), np.uint8)
        whole[rows[1], columns[1]] = pixels
        pixels = whole
    steps = sides[0] / size[0], sides[1] / size[1]
    return pixels, np.array([*size, *canvas, *steps, *corner], np.float64)


def _resized(image: Any, size: Pair, sides: Pair, part: tuple[Pair, Pair], spec: Any) -> NDArray[np.uint8]:
    """A part of the resized picture, in whole numbers as all who read files have it."""
    if spec.interpolation == "bilinear" and sides != size:  # large pictures are not handed to NumPy, which copies twice
        if spec.antialias:
            return _averaged(image, size, sides, part)
        if sides[0] <= size[0] and sides[1] <= size[1]:
            return _interpolated(image, size, sides, part)
    pixels = resized(np.asarray(image), sides, spec.interpolation, antialias=spec.antialias, part=part)
    return np.rint(pixels).astype(np.uint8)


def _interpolated(image: Any, size: Pair, sides: Pair, part: tuple[Pair, Pair]) -> NDArray[np.uint8]:
    """Of four pixels each, which Pillow picks: above and below, left and right of where a pixel's centre lies."""
    steps = size[0] / sides[0], size[1] / sides[1]
    (top, left), (bottom, right) = zip(*part)
    upper, lefter = top * steps[0] - 0.5 + _NEAR, left * steps[1] - 0.5 + _NEAR
    (_, heights), (_, widths) = (
        taps_of(size[axis], sides[axis], "bilinear", part[axis], antialias=False) for axis in (0, 1)
    )
    above_below = heights.T.astype(np.float32)[..., np.newaxis, np.newaxis]
    left_right = np.repeat(widths.T.astype(np.float32)[..., np.newaxis], 3, axis=2)  # for each colour: it is faster

    def picked(below: int, beside: int) -> NDArray[np.float32]:
        way = steps[1], 0, lefter + beside, 0, steps[0], upper + below
        pixels = np.asarray(image.transform((right - left, bottom - top), Image.Transform.AFFINE, way), np.float32)
        pixels *= above_below[below]
        return pixels

    columns = []
    for beside in (0, 1):
        column = picked(0, beside)
        column += picked(1, beside)
        column *= left_right[beside]
        columns.append(column)
    columns[0] += columns[1]
    return np.rint(columns[0], out=columns[0]).astype(np.uint8)


def _averaged(image: Any, size: Pair, sides: Pair, part: tuple[Pair, Pair]) -> NDArray[np.uint8]:
    """First along the width, then along the height: by itself Pillow has chosen otherwise from its release 13 on."""
    (top, left), (bottom, right) = zip(*part)
    steps = size[0] / sides[0], size[1] / sides[1]
    upper, lower = top * steps[0], min(bottom * steps[0], size[0])
    reach = max(steps[0], 1.0) + 1
    first, end = max(0, math.floor(upper - reach)), min(size[0], math.ceil(lower + reach))
    along = left * steps[1], first, min(right * steps[1], size[1]), end
    image = image.resize((right - left, end - first), Image.Resampling.BILINEAR, along)
    down = 0, upper - first, right - left, lower - first
    return np.asarray(image.resize((right - left, bottom - top), Image.Resampling.BILINEAR, down))
