"""`tritonpm infer`: one inference request, and its answer for a person or into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, PackageError
from tritonpm.core.tensors import Array, as_served, load_npz, save_npz, triton_dtype
from tritonpm.operations.load import ensure_loaded
from tritonpm.operations.sample_inputs import samples_of
from tritonpm.operations.server import connect

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class TensorView:
    """One tensor of an answer; `values` are the first few, for a person, `labels` the likeliest class of each row."""

    name: str
    dtype: str
    shape: str
    values: str
    labels: str = ""


@dataclass(frozen=True)
class InferenceView:
    """An inference's outputs; a decoupled model sends any number of responses."""

    tensors: tuple[TensorView, ...]
    responses: int = 1


def infer(
    context: Context, name: str, inputs: Path | None, outputs: Path | None, *, protocol: str = "http", version: str = ""
) -> InferenceView:
    """One inference with the arrays of an .npz, or with the package's sample. Raises InferenceError.

    Where a decoupled model sends several responses, the outputs of the second are NAME#2, and so on from NAME#1.
    """
    ensure_loaded(context, name)
    with connect(context, protocol) as client:
        arrays = load_npz(inputs) if inputs else _sample(context, name)
        arrays = as_served(arrays, client.metadata(name, version).inputs)
        answers = client.responses(name, arrays, version=version)
    answer = answers[0] if len(answers) == 1 else numbered(answers)
    if outputs:
        save_npz(outputs, answer)
    labels = labels_of(context, name)
    return InferenceView(tuple(_view(tensor, array, labels) for tensor, array in answer.items()), len(answers))


def numbered(answers: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The outputs of several responses by name and number: Y#1, Y#2, …"""
    return {f"{name}#{number}": array for number, one in enumerate(answers, 1) for name, array in one.items()}


def labels_of(context: Context, name: str) -> tuple[str, ...]:
    """The labels of a package's last stage; none where the server has a model that the workspace does not know."""
    try:
        return context.catalogue.get(name).package.stages[-1].signature.labels
    except NotFoundError:
        return ()


def _sample(context: Context, name: str) -> dict[str, Array]:
    record = context.catalogue.get(name)
    samples = samples_of(record)
    if not samples:
        raise PackageError(f"{name} has no sample", do="give --input FILE.npz")
    return load_npz(context.blobs.path(record.package.file(samples[0].inputs).digest))


def _view(name: str, array: Array, labels: tuple[str, ...]) -> TensorView:
    flat = array.ravel()
    first = " ".join(f"{value:.3g}" if array.dtype.kind == "f" else _text(value) for value in flat[:5])
    more = " …" if flat.size > 5 else ""
    scores = labels and array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] == len(labels)
    likeliest = ", ".join(labels[best] for best in array.argmax(axis=1)) if scores else ""
    return TensorView(name, triton_dtype(array.dtype), " x ".join(map(str, array.shape)), first + more, likeliest)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
