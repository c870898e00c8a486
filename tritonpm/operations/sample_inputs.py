"""What a package's model is asked where nobody names inputs: its samples, else made-up ones that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tritonpm.core.errors import InferenceError
from tritonpm.core.tensors import MOST_BYTES, Array, guesses, load_npz
from tritonpm.core.units import number_of
from tritonpm.meaning.pictures import made_up as made_up_picture
from tritonpm.meaning.preprocess import undone
from tritonpm.meaning.served import IMAGE, takes_pictures
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.meanings import meaning_of
from tritonpm.perf.inputs import Inputs, batching, inputs

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Sample, Signature
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

_SIZES = ((240, 320), (377, 211))  # of made-up pictures
_PICTURES = 8  # of those that samples show


def measuring_inputs(context: Context, record: Record, client: Client, model: str, *, batch: int = 1) -> Inputs:
    """What a loaded model is sent: the package's samples in turn, else a made-up input.

    `batch` are the rows of a request. Raises InferenceError where it takes none of the made-up inputs.
    """
    package, signature = record.package, client.metadata(model)
    has_axis = all(axis.kind != "none" for axis in batch_axes(context, package).values())
    who = batching(client.config(model), signature, axis=has_axis)
    if takes_pictures(signature) and record.settings.takes_pictures(package.stages[0].name):
        shown, source = pictures_of(context, record)
        return inputs([{IMAGE: one[np.newaxis]} for one in shown], signature, who, batch=batch, source=source)
    samples: list[dict[str, Array]] = []
    for sample in samples_of(record):
        samples.append(load_npz(context.blobs.path(package.file(sample.inputs).digest)))
        if sum(array.nbytes for arrays in samples for array in arrays.values()) > MOST_BYTES:
            break  # enough to measure with, and the rest of memory is the server's
    if samples:
        source = f"{number_of(len(samples), 'sample')} of the package, in turn"
        return inputs(samples, signature, who, batch=batch, source=source)
    guess, _ = made_up(client, model, signature, None if who == "none" else 1)
    return inputs([guess], signature, who, source="a made-up input, since the package has no samples")


def pictures_of(context: Context, record: Record) -> tuple[list[Array], str]:
    """Pictures that the package takes, and whence: what its samples show, else made-up ones of two sizes."""
    package, spec = record.package, meaning_of(record.package, record.settings).preprocess
    shown: list[Array] = []
    for sample in samples_of(record):
        if spec is None:
            break
        arrays = load_npz(context.blobs.path(package.file(sample.inputs).digest))
        name = spec.input or next(name for name in arrays if name not in spec.geometry)
        if name in arrays and arrays[name].ndim == len(spec.layout):
            shown += undone(arrays[name], spec)
    if shown:
        return shown[:_PICTURES], f"what {number_of(len(shown[:_PICTURES]), 'row')} of its samples show"
    return [made_up_picture(*size) for size in _SIZES], "made-up pictures, since the package has no samples"


def samples_of(record: Record) -> tuple[Sample, ...]:
    """The samples of the package as a whole; a single package's are its stage's."""
    package = record.package
    return package.samples or (() if package.cascade else package.stages[0].samples)


def made_up(
    client: Client, model: str, signature: Signature, rows: int | None, *, do: str = "add a sample to the package"
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The first made-up input that the model takes, and its answer. Raises InferenceError.

    `rows` is what its first dimension has, None where that is as the model says.
    """
    refusal = ""
    for guess in guesses(signature.inputs, batch=rows):
        try:
            return guess, client.infer(model, guess)
        except InferenceError as error:
            refusal = error.what
    raise InferenceError(f"it takes none of the made-up inputs: {refusal}", where=model, do=do)
