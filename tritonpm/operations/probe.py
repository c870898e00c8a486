"""The gate in front of "loaded": a real inference on the server, compared with what the answer must be.

What it must be says the package's sample; where the model was optimised, within the bounds of its precision; and where
that could not be proved here before (an engine of another machine's), the original itself, run on the same inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import psutil

from tritonpm.convert.agreement import BOUNDS, judged
from tritonpm.convert.meant import meant
from tritonpm.core.errors import OptimisationError, WrongAnswerError
from tritonpm.core.tensors import Array, as_served, compare, load_npz, save_npz
from tritonpm.core.units import number_of
from tritonpm.meaning.decode import decoded
from tritonpm.meaning.matching import matched
from tritonpm.meaning.predict import required
from tritonpm.meaning.preprocess import prepare
from tritonpm.meaning.served import answered, request, sent, takes_encoded
from tritonpm.meaning.whole import decoded_whole, without_answers
from tritonpm.operations.artefacts import made as made_of
from tritonpm.operations.front_encoded import resizes
from tritonpm.operations.meanings import hands_in_pictures, meaning_of
from tritonpm.operations.sample_inputs import made_up, pictures_of, samples_of
from tritonpm.settings.settings import PRECISIONS
from tritonpm.triton.inference import first
from tritonpm.triton.rows import responses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tritonpm.catalogue import Record
    from tritonpm.core.types import Optimised, Signature
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

# How far an answer may lie from the expected one: runtimes reorder FP32 sums, which costs the last three digits or so.
RTOL, ATOL = 1e-3, 1e-4
_REFERENCE_SECONDS = 600.0  # for the original to answer on this machine
Arrays = dict[str, Array]


def probe(context: Context, client: Client, record: Record, *, model: str = "") -> str:
    """Infer and compare; what was proved, in a few words. Raises ServerError, WrongAnswerError.

    `model` is what to ask where that is not the package's public name.
    """
    name = model or record.package.name
    made, signature = made_of(context, record), client.metadata(name)
    if hands_in_pictures(record.package, record.settings, signature):
        return _probe_pictures(context, client, record, name, made, signature)
    samples = samples_of(record)
    if not samples and not _unverified(made):
        _require_finite(_made_up(client, record, name, signature)[1])
        return "answered a synthesized input; the package has no samples to compare with"
    compared = 0
    for what, inputs, expected in _trials(context, client, record, name, made, signature):
        answer = first(name, responses(client, name, as_served(inputs, signature.inputs)))
        _require_finite(answer)
        if difference := _apart(record, made, as_served(expected, signature.outputs), answer):
            raise WrongAnswerError(f"its answer to {what} is wrong: {difference}")
        compared += bool(expected)
    if not samples:
        return "answered a synthesized input as the original does"
    answered = f"answered {number_of(len(samples), 'sample')}"
    return (
        f"{answered}, {compared} as expected" if compared else f"{answered}; the package does not say what is expected"
    )


def _probe_pictures(
    context: Context, client: Client, record: Record, name: str, made: dict[str, Optimised], served: Signature
) -> str:
    """Ask a front pictures, and compare what it finds with what the original model finds by the plain way."""
    meaning, (pictures, source) = meaning_of(record.package, record.settings), pictures_of(context, record)
    first, then = required(record.package.name, meaning)
    answers = [client.infer(name, request(sent(served, [picture]))) for picture in pictures]
    for answer in answers:
        _require_finite(answer)
    signature = record.package.stages[0].signature
    dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs}
    whole = takes_encoded(served) and resizes(record.package, first, served)
    prepared = [prepare(picture, first, dtypes, whole_numbers=whole) for picture in pictures]
    try:
        references = _references(context, record, [dict(one.inputs) for one in prepared])
    except OptimisationError as error:
        return f"answered {source}; what they hold is not known, since the original does not run here ({error.what})"
    total, bounds, cut = 0, BOUNDS[_coarsest(made)], any(part.of for part in meaning.parts)
    for answer, reference, one in zip(answers, references, prepared, strict=True):
        if cut:  # what later stages say is of sharper crops than the original is given
            (want,), (got,) = decoded_whole(reference, meaning.parts, [one.geometry]), answered(answer, meaning)
            want, got = without_answers(want), without_answers(got)
        else:
            (want,) = decoded(reference, then, meaning.labels, [one.geometry])
            (got,) = answered(answer, meaning)
        match = matched(want, got, score=then.score)
        if match.reason or match.share < min(bounds.get("boxes", 1.0), bounds.get("top1", 1.0)):
            reason = match.reason or f"{match.both:.0f} of {match.either} objects are the same"
            raise WrongAnswerError(f"what it finds in pictures is not what the original finds: {reason}")
        total += match.either
    if not total:
        return f"answered {source}; as the original it finds nothing in them, which proves little"
    return f"answered {source}: the {number_of(total, 'object')} that the original finds"


def _coarsest(made: dict[str, Optimised]) -> str:
    return max((one.precision for one in made.values()), key=PRECISIONS.index, default="FP32")


def _unverified(made: dict[str, Optimised]) -> bool:
    return any(one.agreement.state == "unverified" for one in made.values())


def _trials(
    context: Context, client: Client, record: Record, name: str, made: dict[str, Optimised], signature: Signature
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """(what, inputs, expected answer): the samples, with the original's answers where nothing else was proved."""

    def arrays(path: str | None) -> Arrays:
        return load_npz(context.blobs.path(record.package.file(path).digest)) if path else {}

    samples = ((f"the sample {s.inputs}", arrays(s.inputs), arrays(s.outputs)) for s in samples_of(record))
    if not _unverified(made):
        yield from samples  # one at a time: each may be large
        return
    listed = list(samples)
    if not listed:
        listed = [("a synthesized input", _made_up(client, record, name, signature)[0], {})]
    answers = _references(context, record, [inputs for _, inputs, _ in listed])
    for (what, inputs, _), answer in zip(listed, answers, strict=True):
        yield what, inputs, answer


def _references(context: Context, record: Record, inputs: list[Arrays]) -> list[Arrays]:
    """What the original models answer. Raises OptimisationError where they do not run here."""
    from tritonpm.operations.stage_inputs import JobLimits, StageInputs

    with context.workspace.scratch("probe") as folder:
        limits = JobLimits(_REFERENCE_SECONDS, psutil.virtual_memory().total // 2)
        paths = []
        for number, arrays in enumerate(inputs):
            paths.append(str(folder / f"input-{number}.npz"))
            save_npz(folder / f"input-{number}.npz", arrays)
        captured = StageInputs(context, record, folder, limits).captured(tuple(paths))
        return [load_npz(captured / f"answer-{number}.npz") for number in range(len(inputs))]


def _apart(record: Record, made: dict[str, Optimised], expected: Arrays, answer: Arrays) -> str:
    """ "" where the answer is the expected one, as exactly as its precision allows."""
    coarsest = _coarsest(made)
    if coarsest == "FP32":
        return compare(expected, answer, rtol=RTOL, atol=ATOL)
    task, tolerances = record.package.stages[-1].task, record.settings.tolerances
    if not expected:
        return ""
    known = meant(meaning_of(record.package, record.settings))
    return judged(expected, answer, precision=coarsest, task=task, tolerances=tolerances, meant=known).reason


def _made_up(client: Client, record: Record, name: str, signature: Signature) -> tuple[Arrays, Arrays]:
    batch = 1 if client.config(name).get("max_batch_size") else None
    values = record.package.values
    return made_up(client, name, signature, batch, values, do="add a sample to the package, or load it with --no-probe")


def _require_finite(answer: Arrays) -> None:
    for name, array in answer.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WrongAnswerError(f"output {name!r} holds NaN or infinity")
