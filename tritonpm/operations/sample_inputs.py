"""What a package's model is asked where nobody names inputs: its samples, else made-up ones that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.errors import InferenceError
from tritonpm.core.tensors import MOST_BYTES, Array, guesses, load_npz
from tritonpm.core.units import number_of
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.perf.inputs import Inputs, batching, inputs

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Sample, Signature
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client


def measuring_inputs(context: Context, record: Record, client: Client, model: str, *, batch: int = 1) -> Inputs:
    """What a loaded model is sent: the package's samples in turn, else a made-up input.

    `batch` are the rows of a request. Raises InferenceError where it takes none of the made-up inputs.
    """
    package, signature = record.package, client.metadata(model)
    has_axis = all(axis.kind != "none" for axis in batch_axes(context, package).values())
    who = batching(client.config(model), signature, axis=has_axis)
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
