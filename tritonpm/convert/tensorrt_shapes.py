"""Optimisation profiles: the shapes that a TensorRT engine must take, from the user or from the batch.

Source: TensorRT's document on working with dynamic shapes.
"""

from __future__ import annotations

from tritonpm.convert.conversion import ConversionError
from tritonpm.core.types import Tensor
from tritonpm.settings.shapes import EXAMPLE, ShapeRange, shape_text


def profile_of(tensor: Tensor, max_batch_size: int, chosen: ShapeRange | None) -> ShapeRange | None:
    """The range of one input; None where its shape is fixed and none was chosen.

    Of the batch the least is 1 and the best half of the most: a dynamic batcher seldom fills it, and kernels that are
    tuned for the full batch lose more on half of it than the other way round. Raises ConversionError.
    """
    shape = tensor.shape
    if shape is None:
        raise ConversionError(f"input {tensor.name!r} has no rank, which TensorRT needs", do="export it with a shape")
    if chosen is not None:
        return _checked(tensor, chosen, max_batch_size)
    if all(isinstance(size, int) for size in shape):
        return None
    if any(isinstance(size, str) for size in shape[1:]):
        raise ConversionError(
            f"input {tensor.name!r} ({shape_text(shape)}) has dynamic dimensions besides the batch",
            do=f"give its range: --shape {EXAMPLE}",
        )
    rest = tuple(int(size) for size in shape[1:])
    return ShapeRange((1, *rest), (max(1, (max_batch_size + 1) // 2), *rest), (max_batch_size, *rest))


def _checked(tensor: Tensor, chosen: ShapeRange, max_batch_size: int) -> ShapeRange:
    shape = tensor.shape or ()
    batched = len(chosen.most) == len(shape) > 0 and isinstance(shape[0], str)
    if batched and (chosen.least[0] != 1 or chosen.most[0] < max_batch_size):
        raise ConversionError(
            f"the range of input {tensor.name!r} takes batches of {chosen.least[0]} to {chosen.most[0]}, and Triton "
            f"may send 1 to {max_batch_size}",
            do="widen it, or lower --max-batch-size",
        )
    for given in (chosen.least, chosen.best, chosen.most):
        wrong = [n for n, size in zip(given, shape, strict=False) if isinstance(size, int) and size != n]
        if len(given) != len(shape) or wrong:
            raise ConversionError(
                f"the shape {shape_text(given)} does not fit input {tensor.name!r} ({shape_text(shape)})",
                do="give a size for each dimension, and the model's own where it is fixed",
            )
    return chosen
