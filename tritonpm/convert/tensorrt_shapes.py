"""Optimisation profiles: the shapes that a TensorRT engine must take, from the user or from the batch.

Source: TensorRT's document on working with dynamic shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tritonpm.convert.conversion import ConversionError, ShapeRange
from tritonpm.core.errors import UsageError
from tritonpm.core.types import Tensor

EXAMPLE = "--shape image=1x3x320x320:8x3x640x640:16x3x1280x1280"
_SHAPE = re.compile(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*")


def parse_shape(text: str) -> tuple[str, ShapeRange]:
    """`INPUT=LEAST:BEST:MOST`, each sizes joined by x; a single shape is all three. Raises UsageError."""
    name, equals, rest = text.rpartition("=")
    shapes = rest.split(":")
    if not equals or not name or len(shapes) not in (1, 3) or not all(_SHAPE.fullmatch(shape) for shape in shapes):
        raise UsageError(f"{text!r} is no range of shapes", do=f"write it as in {EXAMPLE}")
    least, best, most = (tuple(map(int, shape.split("x"))) for shape in (shapes if len(shapes) == 3 else shapes * 3))
    if not len(least) == len(best) == len(most):
        raise UsageError(f"the shapes of {name!r} have different ranks", do=f"write it as in {EXAMPLE}")
    if not all(low <= middle <= high for low, middle, high in zip(least, best, most, strict=True)):
        raise UsageError(f"the shapes of {name!r} do not grow from the first to the last", do="give LEAST:BEST:MOST")
    return name, ShapeRange(least, best, most)


def shape_ranges(told: Mapping[str, str]) -> dict[str, ShapeRange]:
    """Optimisation profiles from text: input → LEAST:BEST:MOST. Raises UsageError."""
    return dict(parse_shape(f"{name}={text}") for name, text in told.items())


def profile_of(tensor: Tensor, max_batch_size: int, told: ShapeRange | None) -> ShapeRange | None:
    """The range of one input; None where its shape is fixed and nothing was told.

    Of the batch the least is 1 and the best half of the most: a dynamic batcher seldom fills it, and kernels that are
    tuned for the full batch lose more on half of it than the other way round. Raises ConversionError.
    """
    shape = tensor.shape
    if shape is None:
        raise ConversionError(f"input {tensor.name!r} has no rank, which TensorRT needs", do="export it with a shape")
    if told is not None:
        return _checked(tensor, told, max_batch_size)
    if all(isinstance(size, int) for size in shape):
        return None
    if any(isinstance(size, str) for size in shape[1:]):
        sizes = "x".join(map(str, shape))
        raise ConversionError(
            f"input {tensor.name!r} ({sizes}) has dynamic dimensions besides the batch", do=f"give its range: {EXAMPLE}"
        )
    rest = tuple(int(size) for size in shape[1:])
    return ShapeRange((1, *rest), (max(1, (max_batch_size + 1) // 2), *rest), (max_batch_size, *rest))


def _checked(tensor: Tensor, told: ShapeRange, max_batch_size: int) -> ShapeRange:
    shape = tensor.shape or ()
    batched = len(told.most) == len(shape) > 0 and isinstance(shape[0], str)
    if batched and (told.least[0] != 1 or told.most[0] < max_batch_size):
        raise ConversionError(
            f"the range of input {tensor.name!r} takes batches of {told.least[0]} to {told.most[0]}, and Triton may "
            f"send 1 to {max_batch_size}",
            do="widen it, or lower --max-batch-size",
        )
    for given in (told.least, told.best, told.most):
        wrong = [n for n, size in zip(given, shape, strict=False) if isinstance(size, int) and size != n]
        if len(given) != len(shape) or wrong:
            own = "x".join(map(str, shape))
            raise ConversionError(
                f"the shape {'x'.join(map(str, given))} does not fit input {tensor.name!r} ({own})",
                do="give a size for each dimension, and the model's own where it is fixed",
            )
    return told
