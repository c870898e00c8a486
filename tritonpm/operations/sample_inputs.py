"""What a package's model is asked where nobody names inputs: its samples, else made-up ones that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.convert.calibration import is_npz, read, spread
from tritonpm.convert.conversion import ConversionError
from tritonpm.core.errors import InferenceError, NotFoundError, PackageError
from tritonpm.core.tensors import MOST_BYTES, Array, as_served, guesses, load_npz
from tritonpm.core.units import number_of
from tritonpm.meaning.pictures import made_up as made_up_picture
from tritonpm.meaning.pictures import read_picture
from tritonpm.meaning.predict import prepared_for
from tritonpm.meaning.preprocess import undone
from tritonpm.meaning.served import request, sent, takes_encoded
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.meanings import hands_in_pictures, meaning_of
from tritonpm.perf.inputs import Inputs, batching, inputs

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Sample, Signature, Values
    from tritonpm.meaning.spec import Preprocess
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

_SIZES = ((240, 320), (377, 211))  # of made-up pictures
_PICTURES = 8  # of real ones
_FILES = 32  # of those that INT8 is calibrated on


def measuring_inputs(context: Context, record: Record, client: Client, model: str, *, batch: int = 1) -> Inputs:
    """What a loaded model is sent: real inputs in turn, else pictures that are made up, else a made-up input.

    `batch` are the rows of a request. Raises InferenceError where it takes none of the made-up inputs.
    """
    package, signature = record.package, client.metadata(model)
    has_axis = all(axis.kind != "none" for axis in batch_axes(context, package).values())
    who = batching(client.config(model), signature, axis=has_axis)
    if hands_in_pictures(package, record.settings, signature):
        shown, source = pictures_of(context, record)
        if takes_encoded(signature):
            source = f"{source}; as JPEG"
            if batch > 1:  # in one request only those of one size
                shown = [one for one in shown if one.shape == shown[0].shape]
        requests = [request(sent(signature, [one], "JPEG")) for one in shown]
        return inputs(requests, signature, who, batch=batch, source=source)
    for listed, source in (_real(context, record, signature), _painted(record, signature)):
        if listed:
            return inputs(listed, signature, who, batch=batch, source=source)
    guess, _ = made_up(client, model, signature, None if who == "none" else 1, package.values)
    return inputs([guess], signature, who, source="a made-up input, since the package has no samples")


def _real(context: Context, record: Record, signature: Signature) -> tuple[list[dict[str, Array]], str]:
    """The package's samples, else what its first stage's INT8 was calibrated on, pictures prepared as it says."""
    samples: list[dict[str, Array]] = []
    for sample in samples_of(record):
        samples.append(arrays_of(context, record, sample))
        if sum(array.nbytes for arrays in samples for array in arrays.values()) > MOST_BYTES:
            break  # enough to measure with, and the rest of memory is the server's
    if samples:
        return samples, f"{number_of(len(samples), 'sample')} of the package, in turn"
    first = meaning_of(record.package, record.settings).preprocess
    with suppress(ConversionError, PackageError):  # of a stage whose inputs are called otherwise
        samples = [read(path, signature, first=first) for path in _handed_in(context, record)]
    return samples, f"{number_of(len(samples), 'input')} that INT8 is calibrated on, in turn"


def _painted(record: Record, signature: Signature) -> tuple[list[dict[str, Array]], str]:
    """Made-up pictures as the package prepares pictures; none where that is not known, or not all that it takes."""
    first = meaning_of(record.package, record.settings).preprocess
    source = "made-up pictures, prepared as the package says, since it has no samples"
    if first is None or not shows_pictures(record):
        return [], source
    shown = [made_up_picture(*size) for size in _SIZES]
    try:
        listed = [dict(prepared_for(record.package.name, first, signature, one).inputs) for one in shown]
    except PackageError:
        return [], source
    asked = {tensor.name for tensor in signature.inputs if not tensor.optional}
    return (listed if asked <= listed[0].keys() else []), source


def pictures_of(context: Context, record: Record) -> tuple[list[Array], str]:
    """Pictures that the package takes, and whence: of its samples, of what INT8 is calibrated on, or made-up ones."""
    shown: list[Array] = []
    for sample in samples_of(record):
        shown += shown_by(context, record, sample)
        if len(shown) >= _PICTURES:
            break
    if shown:
        return shown[:_PICTURES], f"what {number_of(len(shown[:_PICTURES]), 'row')} of its samples show"
    if files := [path for path in _handed_in(context, record) if not is_npz(path)][:_PICTURES]:
        return [read_picture(path) for path in files], f"{number_of(len(files), 'picture')} that INT8 is calibrated on"
    return [made_up_picture(*size) for size in _SIZES], "made-up pictures, since the package has no samples"


def _handed_in(context: Context, record: Record) -> Sequence[Path]:
    """Some of the files that the first stage's INT8 is calibrated on, of all that there are."""
    digests = record.settings.for_stage(record.package.stages[0].name).calibration
    return [context.blobs.path(digest) for digest in spread(digests, _FILES)]


def shown_by(context: Context, record: Record, sample: Sample) -> tuple[Array, ...]:
    """The pictures that a sample shows, row by row; () where the package does not say how one becomes its input."""
    first = meaning_of(record.package, record.settings).preprocess
    if first is None or not shows_pictures(record):
        return ()
    arrays = arrays_of(context, record, sample)
    name = pictured(first, arrays)
    return undone(arrays[name], first) if name else ()


def shows_pictures(record: Record) -> bool:
    """Whether it is known how a picture becomes the package's input, and so which one an input shows."""
    first = meaning_of(record.package, record.settings).preprocess
    return first is not None and not first.tokenizer


def pictured(first: Preprocess, arrays: Mapping[str, Array]) -> str:
    """The input that holds the pictures; "" where none does."""
    name = first.input or next((name for name in arrays if name not in first.geometry), "")
    return name if name in arrays and arrays[name].ndim == len(first.layout) else ""


def arrays_of(context: Context, record: Record, sample: Sample) -> dict[str, Array]:
    """A sample's inputs by name."""
    return load_npz(context.blobs.path(record.package.file(sample.inputs).digest))


def sample_request(
    context: Context, record: Record, signature: Signature, number: int = 1, owner: Record | None = None
) -> dict[str, Array]:
    """A sample's inputs, from 1, as a served model takes them: what they show where that takes pictures.

    `owner` is whose sample it is, where not the package's own. Raises NotFoundError where there is none, PackageError
    where it shows no picture.
    """
    owner = owner or record
    if hands_in_pictures(record.package, record.settings, signature):
        return request(sent(signature, pictures_in_sample(context, owner, number)))
    return as_served(arrays_of(context, owner, sample_of(owner, number)), signature.inputs)


def pictures_in_sample(context: Context, owner: Record, number: int) -> tuple[Array, ...]:
    """What a package's sample shows, at least one picture. Raises as `sample_request`."""
    if shown := shown_by(context, owner, sample_of(owner, number)):
        return shown
    raise PackageError("its samples show no pictures", where=owner.package.name, do="give a picture")


def sample_of(record: Record, number: int = 1) -> Sample:
    """The package's sample of that number, from 1. Raises NotFoundError."""
    samples = samples_of(record)
    if not samples:
        name = record.package.name
        raise NotFoundError(f"{name} has no sample", do=f"`tritonpm infer {name} --image FILE`, or --input FILE.npz")
    if not 1 <= number <= len(samples):
        what = f"{record.package.name} has {number_of(len(samples), 'sample')}, and no number {number}"
        raise NotFoundError(what, do="name one of them")
    return samples[number - 1]


def samples_of(record: Record) -> tuple[Sample, ...]:
    """The samples of the package as a whole; a single package's are its stage's."""
    package = record.package
    return package.samples or (() if package.cascade else package.stages[0].samples)


def made_up(
    client: Client, model: str, signature: Signature, rows: int | None, said: Mapping[str, Values],
    *, do: str = "add a sample to the package",
) -> tuple[dict[str, Array], dict[str, Array]]:  # fmt: skip
    """The first made-up input that the model takes, and its answer. Raises InferenceError.

    `said` is what the manifest says of inputs' values; `rows` is what its first dimension has, None where that is as
    the model says.
    """
    refusal = ""
    for guess in guesses(signature.inputs, batch=rows, said=said):
        try:
            return guess, client.infer(model, guess)
        except InferenceError as error:
            refusal = error.what
    raise InferenceError(f"it takes none of the made-up inputs: {refusal}", where=model, do=do)
