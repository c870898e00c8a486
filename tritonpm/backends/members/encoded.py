"""The model of Triton's Python backend that decodes JPEG and PNG before a front: `serve: encoded`.

Rendered into the repository as it is, so that NVIDIA's container runs the same; it imports nothing of tritonpm, and
needs Pillow where Triton runs. `image` is BYTES [n, 1], `pixels` UINT8 [n, height, width, 3] of red, green and blue.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

try:
    from PIL import Image, ImageOps
except ImportError:
    what = "decoding JPEG and PNG needs Pillow where Triton runs: pip install pillow"
    raise pb_utils.TritonModelException(what) from None

FORMATS = ("JPEG", "PNG")
MOST_PIXELS = 1 << 26  # of the pictures of one request together: 192 MiB when they are decoded
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit above is stricter


class RefusedError(Exception):
    """What a request holds cannot be decoded; its one sentence."""


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """As many threads as there are cores: Pillow decodes without Python's lock."""
        self.pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Decode the pictures of all requests side by side, and answer each request for itself.

        A bad picture is the error of its own request only, and only the pictures of one request are of one size.
        """
        begun = [self._begun(pb_utils.get_input_tensor_by_name(one, "image").as_numpy().ravel()) for one in requests]
        return [_answer(one) for one in begun]

    def finalize(self) -> None:
        """End the threads."""
        self.pool.shutdown()

    def _begun(self, rows: Sequence[bytes]) -> list[Future[NDArray[np.uint8]]] | RefusedError:
        try:
            images = [_opened(row, number) for number, row in enumerate(rows)]
            if (total := sum(image.width * image.height for image in images)) > MOST_PIXELS:
                raise RefusedError(f"the pictures of one request have {total} pixels, and may have {MOST_PIXELS}")
        except RefusedError as refusal:
            return refusal
        return [self.pool.submit(_pixels, image, number) for number, image in enumerate(images)]


def _answer(begun: list[Future[NDArray[np.uint8]]] | RefusedError) -> Any:
    try:
        if isinstance(begun, RefusedError):
            raise begun
        pictures = [one.result() for one in begun]
        if len(sizes := {picture.shape[:2] for picture in pictures}) > 1:
            listed = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
            raise RefusedError(f"the pictures of one request are of one size, not of {listed}")
    except RefusedError as refusal:
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(refusal)))
    together = pictures[0][np.newaxis] if len(pictures) == 1 else np.stack(pictures)
    return pb_utils.InferenceResponse([pb_utils.Tensor("pixels", together)])


def _opened(encoded: bytes, number: int) -> Any:
    """The picture, of which only the header was read yet."""
    try:
        return Image.open(io.BytesIO(encoded), formats=FORMATS)
    except Exception:  # whatever Pillow stumbles over, it is the picture's fault
        raise RefusedError(f"picture {number} is not a JPEG or PNG of {len(encoded)} bytes") from None


def _pixels(image: Any, number: int) -> NDArray[np.uint8]:
    """As it is meant to be seen, whatever turn a camera noted; of 16 bits of grey the upper ones."""
    try:
        ImageOps.exif_transpose(image, in_place=True)  # which copies only what is turned
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise RefusedError(f"picture {number} cannot be decoded ({reason})") from None
