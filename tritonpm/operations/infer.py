"""`tritonpm infer`: one inference request, and its answer for a person or into a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpm.core.errors import NotFoundError, StorageError
from tritonpm.core.tensors import Array, as_served, save_npz, triton_dtype
from tritonpm.core.types import Signature, Task
from tritonpm.meaning.draw import drawn
from tritonpm.meaning.objects import Objects, plain
from tritonpm.meaning.pictures import pictures_in, read_picture
from tritonpm.operations.in_place import inputs_of, is_in_place
from tritonpm.operations.load import ensure_loaded
from tritonpm.operations.meanings import meaning_of
from tritonpm.operations.predictor import predictor_of
from tritonpm.operations.request_file import request_in
from tritonpm.operations.sample_inputs import measuring_inputs, sample_request, samples_of
from tritonpm.operations.server import connect
from tritonpm.triton.rows import responses

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

_NUMBERS = 10_000  # of a tensor that JSON gets; all go into an .npz


@dataclass(frozen=True)
class TensorView:
    """One tensor of an answer; `values` are the first few, for a person, `labels` the likeliest class of each row."""

    name: str
    dtype: str
    shape: str
    values: str
    labels: str = ""
    numbers: tuple[Any, ...] = ()  # the first `_NUMBERS` as they are: numbers, texts, yes or no


@dataclass(frozen=True)
class InferenceView:
    """An inference's outputs; a decoupled model sends any number of responses.

    `sent` is what was sent where nobody named inputs and the package has no samples, else "".
    """

    tensors: tuple[TensorView, ...]
    responses: int = 1
    sent: str = ""


@dataclass(frozen=True)
class PictureView:
    """What one picture holds, as `meaning.objects.plain` says it; `drawn` is where it was drawn, "" nowhere.

    `verdict` is OK or NG, "" where the package has none, and `failed` the conditions that do not hold.
    """

    picture: str
    width: int
    height: int
    objects: tuple[dict[str, Any], ...]
    drawn: str = ""
    verdict: str = ""
    failed: tuple[str, ...] = ()


def infer(
    context: Context, name: str, inputs: Path | None, outputs: Path | None, *, protocol: str = "http", version: str = ""
) -> InferenceView:
    """One inference with the arrays of a file, .npz or .json, with the package's sample, or with what is made up.

    Raises InferenceError.

    More rows than the model takes at once are as many requests as they need, and one answer. Where a decoupled model
    sends several responses, the outputs of the second are NAME#2, and so on from NAME#1.
    """
    ensure_loaded(context, name)
    with connect(context, protocol) as client:
        signature = client.metadata(name, version)
        arrays, sent = _asked(context, name, client, inputs, signature)
        answers = responses(client, name, arrays, version)
    answer = answers[0] if len(answers) == 1 else numbered(answers)
    if outputs:
        save_npz(outputs, answer)
    labels = labels_of(context, name)
    return InferenceView(tuple(_view(tensor, array, labels) for tensor, array in answer.items()), len(answers), sent)


def infer_pictures(
    context: Context, name: str, path: Path, *, draw: Path | None = None, protocol: str = "http", version: str = ""
) -> Iterator[PictureView]:
    """What a picture, or each of a folder, holds; drawn into `draw`: a file, or a folder for several.

    Raises PackageError where the package does not say what its tensors mean, InferenceError.
    """
    files = pictures_in(path)
    ensure_loaded(context, name)
    with connect(context, protocol) as client:
        predictor = predictor_of(context, name, client, version)
        for start in range(0, len(files), predictor.most):
            part = files[start : start + predictor.most]
            pictures = [read_picture(file) for file in part]
            found = predictor(part if predictor.encoded else pictures)
            for file, picture, objects in zip(part, pictures, found, strict=True):
                where = _drawn(draw, file, picture, objects, several=len(files) > 1)
                height, width = picture.shape[:2]
                verdict = predictor.judged(objects)
                said = (verdict.word, verdict.failed) if verdict else ("", ())
                yield PictureView(str(file), width, height, tuple(map(plain, objects)), where, *said)


def _asked(
    context: Context, name: str, client: Client, inputs: Path | None, signature: Signature
) -> tuple[dict[str, Array], str]:
    """What the model is sent, and what it is where it was made up."""
    if inputs:
        return as_served(request_in(inputs, signature), signature.inputs), ""
    if is_in_place(context, name):
        made_up = inputs_of(client, name)
        return made_up.request(1), made_up.source
    record = context.catalogue.get(name)
    if samples_of(record):
        return sample_request(context, record, signature), ""
    made_up = measuring_inputs(context, record, client, name)
    return made_up.request(1), made_up.source


def _drawn(draw: Path | None, file: Path, picture: Array, objects: Objects, *, several: bool) -> str:
    """Draw into a file, or into a folder as the picture's name. Raises StorageError."""
    if draw is None:
        return ""
    where = draw / f"{file.stem}.png" if several or draw.is_dir() else draw
    image = drawn(picture, objects)
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        image.save(where)
    except (OSError, ValueError) as error:  # an ending that no format has
        do = "give a .png in a folder of yours"
        raise StorageError(f"cannot be written ({error})", where=str(where), do=do) from None
    return str(where)


def numbered(answers: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The outputs of several responses by name and number: Y#1, Y#2, …"""
    return {f"{name}#{number}": array for number, one in enumerate(answers, 1) for name, array in one.items()}


def labels_of(context: Context, name: str) -> tuple[str, ...]:
    """The classes of a package that says that it classifies; none of others, or where it is not known."""
    try:
        record = context.catalogue.get(name)
    except NotFoundError:
        return ()
    decode, last = meaning_of(record.package, record.settings).decode, record.package.stages[-1]
    classifies = decode.kind == "classification" if decode else last.task is Task.IMAGE_CLASSIFICATION
    return last.signature.labels if classifies else ()


def _view(name: str, array: Array, labels: tuple[str, ...]) -> TensorView:
    flat = array.ravel()
    first = " ".join(f"{value:.3g}" if array.dtype.kind == "f" else _text(value) for value in flat[:5])
    more = " …" if flat.size > 5 else ""
    scores = labels and array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] == len(labels)
    likeliest = ", ".join(labels[best] for best in array.argmax(axis=1)) if scores else ""
    shape = " x ".join(map(str, array.shape))
    return TensorView(name, triton_dtype(array.dtype), shape, first + more, likeliest, _numbers(flat))


def _numbers(flat: Array) -> tuple[Any, ...]:
    kept = flat[:_NUMBERS]
    if kept.dtype.kind == "O":
        return tuple(map(_text, kept))
    return tuple((kept.astype(np.float32) if kept.dtype.kind == "V" else kept).tolist())


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
