"""What a package sees: one inference with a picture, with tensors or with a sample of its own, and what it finds.

By the package's `preprocess` and `decode` alone: an output that they say nothing of stays a tensor.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.convert.calibration import is_npz, read
from tritonpm.convert.conversion import ConversionError
from tritonpm.core.errors import NotFoundError, PackageError, ServerError
from tritonpm.core.tensors import MOST_BYTES, Array, as_served
from tritonpm.meaning.geometry import Geometry, identity
from tritonpm.meaning.objects import Objects
from tritonpm.meaning.pictures import read_picture
from tritonpm.meaning.predict import prepared_for
from tritonpm.meaning.preprocess import stretched
from tritonpm.meaning.served import IMAGE, answered, sent, takes_encoded
from tritonpm.meaning.served import request as request_of
from tritonpm.meaning.spec import DETECTIONS, PLACELESS, ROLES, condition
from tritonpm.meaning.stages import Meaning, tensor_of
from tritonpm.meaning.verdict import Judgement, judged
from tritonpm.meaning.whole import decoded_whole, pictures_of_whole
from tritonpm.operations.canary import counterpart
from tritonpm.operations.history import as_it_was
from tritonpm.operations.infer import numbered
from tritonpm.operations.meanings import hands_in_pictures, meaning_of
from tritonpm.operations.sample_inputs import pictured, pictures_in_sample, sample_of, sample_request, shown_by
from tritonpm.operations.server import connect
from tritonpm.triton.rows import responses

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Signature
    from tritonpm.operations.context import Context

_SCORED = DETECTIONS | {"multi-label"}  # of whose objects those with a score count
_NOT_SAID = "the package does not declare its decode"


@dataclass(frozen=True)
class SeenPicture:
    """What one picture, or one row of the input, holds; 0 x 0 where nothing says how large it is."""

    width: int
    height: int
    objects: Objects
    verdict: Judgement | None = None


@dataclass(frozen=True)
class Seen:
    """An answer and what it means: `unknown` are the outputs of which nobody says it, with the reason.

    `threshold` is the score from which objects count, None where that does not make them; `ms` what it took.
    """

    answer: Mapping[str, Array]
    pictures: tuple[SeenPicture, ...] = ()
    unknown: tuple[str, ...] = ()
    reason: str = ""
    threshold: float | None = None
    ms: float = 0.0


@dataclass(frozen=True)
class Beside:
    """What else of a package can be asked: its canary, what it is the canary of, or earlier contents by version."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class _Asked:
    """What is sent, and where pictures lie in it; None: it is not known which part of it they are."""

    inputs: Mapping[str, Array]
    geometries: tuple[Geometry, ...] | None


def seen(
    context: Context, name: str, given: Path | None = None, *, sample: int = 1, of: str = "", version: str = "",
    most: int = MOST_BYTES,
) -> Seen:  # fmt: skip
    """Ask a loaded package with a picture or an .npz of at most `most` bytes, else with the sample of that number.

    `of` is the package whose sample it is, "" its own: two that are compared are asked the same.
    Raises NotFoundError, PackageError, ConversionError, InferenceError.
    """
    record = _as_served(context, name, version)
    meaning = meaning_of(record.package, record.settings)
    with connect(context) as client:
        if not client.ready(name, version):
            what = f"version {version} of {name}" if version else name
            raise NotFoundError(f"{what} is not loaded", do="load it first")
        signature = client.metadata(name, version)
        fronted = hands_in_pictures(record.package, record.settings, signature)
        if given:
            request = _handed_in(record, meaning, signature, given, most, fronted=fronted)
        else:
            owner = context.catalogue.get(of) if of else record
            request = _of_sample(context, record, meaning, signature, sample, owner, fronted=fronted)
        started = time.perf_counter()
        answers = responses(client, name, request.inputs, version)
        took = (time.perf_counter() - started) * 1000
    answer = answers[0] if len(answers) == 1 else numbered(answers)
    objects, reason = objects_in(answer, meaning, request.geometries, fronted=fronted)
    conditions = {label: condition(said) for label, said in record.package.verdict.items()}
    sizes = [one.picture for one in request.geometries or ()] or [(0, 0)] * len(objects)
    pictures = tuple(
        SeenPicture(width, height, one, judged(conditions, one) if conditions else None)
        for (height, width), one in zip(sizes, objects, strict=False)
    )
    scored = meaning.decode is not None and meaning.decode.kind in _SCORED and not reason
    threshold = meaning.decode.score if meaning.decode and scored else None
    unknown = tuple(answer) if reason else () if fronted else _unknown(tuple(answer), meaning)
    return Seen(answer, pictures, unknown, reason or (_NOT_SAID if unknown else ""), threshold, took)


def beside(context: Context, name: str) -> tuple[Beside, ...]:
    """What can be asked the same to compare with a loaded package; nothing where the server does not answer."""
    try:
        with connect(context) as client:
            ready = [(model.name, model.version) for model in client.index() if model.state == "READY"]
    except ServerError:
        return ()
    versions = sorted({version for model, version in ready if model == name and version.isdecimal()}, key=int)
    listed = [Beside(name, version) for version in reversed(versions[:-1])]
    other = counterpart(context, name)
    return (*([Beside(other)] if other in {model for model, _ in ready} else []), *listed)


def sample_picture(context: Context, name: str, number: int, row: int) -> Array:
    """What a row (from 0) of a package's sample (from 1) shows, UINT8 [height, width, 3]. Raises NotFoundError."""
    record = context.catalogue.get(name)
    shown = shown_by(context, record, sample_of(record, number))
    if row >= len(shown):
        what = f"sample {number} of {name} shows no picture {row}"
        raise NotFoundError(what, do="see that the package says its preprocess")
    return shown[row]


def _as_served(context: Context, name: str, version: str) -> Record:
    """The package whose content a version folder has; the current one where none is named. Raises NotFoundError."""
    record = context.catalogue.get(name)
    if not version or record.settings.kept_versions == 1:  # whose folder is always 1
        return record
    kept = (one.number for one in context.catalogue.history(name) if str(one.version) == version)
    if (number := next(kept, None)) is None:
        raise NotFoundError(f"{name} has no version {version}", do="name one that is served")
    return as_it_was(context, name, number)


def _handed_in(
    record: Record, meaning: Meaning, signature: Signature, given: Path, most: int, *, fronted: bool
) -> _Asked:
    if is_npz(given):
        inputs = as_served(_read(given, signature, most), signature.inputs)
        return _of_tensors(meaning, signature, inputs, fronted=fronted)
    if fronted:
        return _of_shown(signature, (given,))
    return _of_picture(record.package.name, meaning, signature, read_picture(given))


def _read(given: Path, signature: Signature, most: int) -> Mapping[str, Array]:
    """The arrays of an .npz. Raises PackageError."""
    try:
        return read(given, signature, most)
    except ConversionError as error:  # nothing is converted here
        raise PackageError(error.what, where=error.where, do=error.do) from None


def _of_sample(
    context: Context, record: Record, meaning: Meaning, signature: Signature, sample: int, owner: Record, *,
    fronted: bool,
) -> _Asked:  # fmt: skip
    if fronted:
        return _of_shown(signature, pictures_in_sample(context, owner, sample))
    inputs = sample_request(context, record, signature, sample, owner)
    return _of_tensors(meaning, signature, inputs, fronted=False)


def _of_shown(signature: Signature, shown: Sequence[Array | Path]) -> _Asked:
    pictures = sent(signature, shown)
    return _Asked(request_of(pictures), tuple(identity(*one.shape[:2]) for one in pictures))


def _of_tensors(meaning: Meaning, signature: Signature, inputs: Mapping[str, Array], *, fronted: bool) -> _Asked:
    if fronted:
        sizes = () if takes_encoded(signature) else inputs[IMAGE]
        return _Asked(inputs, tuple(identity(*one.shape[:2]) for one in sizes))
    return _Asked(inputs, _geometries(meaning, signature, inputs))


def _of_picture(name: str, meaning: Meaning, signature: Signature, picture: Array) -> _Asked:
    """Prepared as the package says, else stretched to an input that can only be an image. Raises PackageError."""
    first = meaning.preprocess or stretched(signature)
    if first is None:
        shapes = ", ".join(f"{one.name} {list(one.shape or ())}" for one in signature.inputs)
        what = f"does not declare its preprocess, and its inputs ({shapes}) are not a single image of a fixed size"
        raise PackageError(what, where=name, do="give an .npz whose arrays are named for the inputs")
    prepared = prepared_for(name, first, signature, picture)
    return _Asked(prepared.inputs, (prepared.geometry,))


def _geometries(meaning: Meaning, signature: Signature, inputs: Mapping[str, Array]) -> tuple[Geometry, ...] | None:
    """Of the pictures that tensors hold: each is the input itself."""
    first = meaning.preprocess or stretched(signature)
    name = "" if first is None or first.tokenizer else pictured(first, inputs)
    if first is None or not name:
        return None
    array, layout = inputs[name], first.layout
    size = array.shape[layout.index("H")], array.shape[layout.index("W")]
    return (identity(*size),) * (len(array) if layout[0] == "N" else 1)


def objects_in(
    answer: Mapping[str, Array], meaning: Meaning, geometries: tuple[Geometry, ...] | None, *, fronted: bool = False
) -> tuple[tuple[Objects, ...], str]:
    """What each picture of an answer holds; or why that cannot be said."""
    parts = meaning.answers
    if not parts:
        return (), _NOT_SAID
    if geometries is None and any(part.decode.kind not in PLACELESS for part in parts if not part.of):
        return (), "the package does not declare its preprocess, and so not where in a picture something is"
    try:
        if fronted:
            return answered(answer, meaning), ""
        placed = (identity(1, 1),) * pictures_of_whole(answer, parts) if geometries is None else geometries
        return decoded_whole(answer, parts, placed), ""
    except ValueError as error:
        return (), str(error)


def _unknown(names: tuple[str, ...], meaning: Meaning) -> tuple[str, ...]:
    known = {
        tensor_of(part.decode, role.rstrip("?"), names) for part in meaning.answers for role in ROLES[part.decode.kind]
    }
    return tuple(name for name in names if name not in known)
