"""What INT8 is calibrated on: the user's own samples, never made-up data, which would give made-up ranges.

A sample is an .npz whose arrays are named for the model's inputs, with one row or many; or an image, prepared as the
stage's `preprocess` says: where nobody says it, resized to the height and width of the model's only input, with the
values that the file has (0 to 255).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tritonpm.convert.conversion import Artefact, ConversionError, Options
from tritonpm.core.errors import NotFoundError
from tritonpm.core.tensors import MOST_BYTES, Array, load_npz, numpy_dtype
from tritonpm.core.types import Signature, Tensor
from tritonpm.meaning.pictures import SUFFIXES, read_picture
from tritonpm.meaning.predict import prepared_for
from tritonpm.meaning.preprocess import stretched
from tritonpm.meaning.spec import Preprocess

FILES = (".npz", *SUFFIXES)
MOST_ROWS = 300  # that a calibration looks at: more bring little
NONE = "INT8 is calibrated on samples, and there are none"
GIVE = "give --calibration FOLDER with .npz files or images"
Row = dict[str, Array]
T = TypeVar("T")


def gather(source: Path) -> tuple[Path, ...]:
    """The .npz files and images that `source`, a file or folder, holds, in order.

    Raises NotFoundError, ConversionError.
    """
    if not source.exists():
        raise NotFoundError("does not exist", where=str(source), do=GIVE)
    listed = [source] if source.is_file() else sorted(source.rglob("*"))
    paths = tuple(path for path in listed if path.is_file() and path.suffix.lower() in FILES)
    if not paths:
        raise ConversionError("holds no .npz file and no image", where=str(source), do=GIVE)
    return paths


def rows(artefact: Artefact, options: Options) -> list[Row]:
    """What INT8 is calibrated with: the inputs of one inference each, of batch 1 where the model has a batch axis.

    Raises ConversionError: no samples, or one that does not fit the model.
    """
    if not options.samples:
        raise ConversionError(NONE, do=GIVE)
    listed: list[Row] = []
    for sample in spread(options.samples, MOST_ROWS):  # of every class, where a folder is sorted by class
        arrays = read(Path(sample), artefact.signature, first=options.preprocess)
        listed += _split(Path(sample), artefact.signature, arrays)
    if not listed:
        raise ConversionError("the samples contain no rows", do=GIVE)
    return list(spread(listed, MOST_ROWS))


def spread(listed: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of them, evenly spread."""
    if len(listed) <= most:
        return listed
    return [listed[index * len(listed) // most] for index in range(most)]


def read(path: Path, signature: Signature, most: int = MOST_BYTES, *, first: Preprocess | None = None) -> Row:
    """One sample's arrays, `most` bytes of them, checked. Blobs have no suffix: what is no .npz is an image.

    `first` is how one becomes the input, None where nobody says it.

    Raises ConversionError, PackageError.
    """
    arrays = load_npz(path, most) if is_npz(path) else _image(path, signature, first)
    for tensor in signature.inputs:
        if tensor.name in arrays:
            _check(path, tensor, arrays[tensor.name])
        elif not tensor.optional:
            raise ConversionError(f"has no array {tensor.name!r}", where=path.name, do="name its arrays for the inputs")
    return {tensor.name: arrays[tensor.name] for tensor in signature.inputs if tensor.name in arrays}


def is_npz(path: Path) -> bool:
    """Whether a file holds arrays; blobs and uploads have no suffix."""
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"


def _check(path: Path, tensor: Tensor, array: Array) -> None:
    if array.dtype != numpy_dtype(tensor.dtype):
        raise ConversionError(
            f"its array {tensor.name!r} is {array.dtype}, but the model takes {tensor.dtype}",
            where=path.name,
            do=f"save it as {tensor.dtype}",
        )
    shape = tensor.shape
    if shape is None:
        return
    wrong = [n for n, d in zip(array.shape[1:], shape[1:], strict=False) if isinstance(d, int) and n != d]
    if len(shape) != array.ndim or wrong:
        raise ConversionError(
            f"its array {tensor.name!r} has shape {list(array.shape)}, but the model takes {list(shape)}",
            where=path.name,
            do="save it in the model's shape",
        )


def _split(path: Path, signature: Signature, arrays: Row) -> Iterator[Row]:
    """Row by row, where every input has rows: a first dimension that is dynamic or 1."""
    shapes = [tensor.shape for tensor in signature.inputs if tensor.name in arrays]
    counts = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(counts) == 1 and all(shape and (shape[0] == 1 or isinstance(shape[0], str)) for shape in shapes):
        for index in range(counts.pop()):
            yield {name: array[index : index + 1] for name, array in arrays.items()}
        return
    for tensor in signature.inputs:
        first = tensor.shape[0] if tensor.shape else None
        if tensor.name in arrays and isinstance(first, int) and len(arrays[tensor.name]) != first:
            raise ConversionError(
                f"its array {tensor.name!r} has {len(arrays[tensor.name])} rows, and the model takes {first}",
                where=path.name,
                do="save it with as many",
            )
    yield arrays


def _image(path: Path, signature: Signature, first: Preprocess | None) -> Row:
    """One image as the model's inputs. Raises ConversionError, PackageError."""
    prepared_as = first or stretched(signature)
    if prepared_as is None:
        shapes = ", ".join(f"{tensor.name} {list(tensor.shape or ())}" for tensor in signature.inputs)
        raise ConversionError(
            f"is not an .npz, and the model does not take a single image of a fixed size ({shapes})",
            where=path.name,
            do="declare its preprocess, or give .npz files whose arrays are named for the inputs",
        )
    return dict(prepared_for(path.name, prepared_as, signature, read_picture(path)).inputs)
