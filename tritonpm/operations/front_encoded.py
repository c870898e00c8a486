"""`serve: encoded`: a package with a front, and what decodes JPEG and PNG before that, in Triton's Python backend.

What decodes resizes, too, wherever it can: a model's input is a tenth of a large picture, and less to hand on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonpm.convert.front.pictures import GEOMETRY, MASK
from tritonpm.convert.front.pieces import PLACED
from tritonpm.core.types import Dim, Format, Signature, Stage, Task, Tensor
from tritonpm.meaning import served
from tritonpm.meaning.placing import MOST_PLACED
from tritonpm.operations.front_crops import cuts_out

if TYPE_CHECKING:
    from tritonpm.core.types import File, Package
    from tritonpm.meaning.spec import Preprocess

PIXELS = "pixels"
_OF_EACH_PIXEL = ("classes", "map", "masks")  # where they have more than one dimension beside the batch
_PARAMETER = "placed"  # of the program: how the picture comes to lie in the input
# Of `Preprocess`, what says that.
_SAID = ("resize", "size", "shortest", "longest", "enlarge", "reduce", "multiple", "multiple_above", "position", "fill",
         "interpolation", "antialias")  # fmt: skip


def resizes(package: Package, spec: Preprocess, answers: Signature) -> bool:
    """Whether what decodes may resize: to the same pixels but for their rounding, and with nothing lost.

    Not where an answer has a value for each pixel of the picture: for that, a batch is of pictures of one size, and
    Triton would join requests with pictures of several, once they look alike. `answers` is the front's signature.
    """
    exact = spec.interpolation in ("nearest", "bilinear") and spec.resize != "none"
    filled = 0 <= spec.fill <= 255 and spec.fill == int(spec.fill)
    small = math.prod(spec.size or ()) <= MOST_PLACED
    each = any(one.name in _OF_EACH_PIXEL and len(one.shape or ()) > 2 for one in answers.outputs)
    needed = each or cuts_out(package) or MASK in spec.geometry.values()
    return exact and filled and small and not needed


def takes_placed(signature: Signature) -> bool:
    """Whether it is that of a front behind which no resizing is left to do."""
    return any(tensor.name == PLACED for tensor in signature.inputs)


def parameters(spec: Preprocess) -> Mapping[str, str]:
    """Of the program that decodes and resizes."""
    return {_PARAMETER: json.dumps({name: getattr(spec, name) for name in _SAID}, sort_keys=True)}


def decoder(name: str, file: File, rows: Dim, spec: Preprocess | None) -> Stage:
    """The stage that decodes, and that places pictures as the `spec` says."""
    sides = spec.size if spec and spec.size and spec.resize not in ("fit", "height") else ("height", "width")
    given = [Tensor(PIXELS, served.PIXELS.dtype, (rows, *sides, 3))]
    if spec:
        given.append(Tensor(PLACED, "FP64", (rows, GEOMETRY)))
    taken = replace(served.ENCODED, shape=(rows, *(served.ENCODED.shape or ())[1:]))
    return Stage(name, Task.PREPROCESSING, Format.OTHER, file.path, (file.path,), Signature((taken,), tuple(given)))


def with_decoded(stage: Stage, first: Stage, decoding: Stage) -> Stage:
    """A stage that takes what was decoded in place of the picture: the first, and what cuts out of it."""
    given = {PIXELS: served.IMAGE, PLACED: PLACED}  # output → input of the first
    if stage == first:
        outputs = [tensor.name for tensor in decoding.signature.outputs]
        return replace(stage, bindings=tuple((given[name], f"{decoding.name}.{name}") for name in outputs))
    picture = f"{decoding.name}.{PIXELS}"
    return replace(stage, bindings=tuple((name, picture if of == served.IMAGE else of) for name, of in stage.bindings))
