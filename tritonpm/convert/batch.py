"""The batch axis of a stage: proved by running it, never believed.

A model is batchable where its answer to k rows at once equals, row by row, its answers to each row alone, up to the
largest batch that will be allowed, and where inputs could tell if it did not. A model with a static batch of 1 is
rewritten first and held to the same proof, and its batch of 1 to the original.
The model is parsed, rewritten and run in a process of its own, with a deadline and a memory limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tritonpm.convert.describing import exact
from tritonpm.core.apart import Apart
from tritonpm.core.errors import UnsafeError
from tritonpm.core.files import digest_of, link_or_copy
from tritonpm.core.sandbox import EndedError
from tritonpm.core.types import BatchAxis, Format, Power, Signature, Stage, Tensor
from tritonpm.core.units import GIB, human
from tritonpm.settings.settings import Settings

PROOF = "6"  # the version of the proof: a change in what is rewritten or proved is a new one
RUNNABLE = (Format.ONNX, Format.OPENVINO)
LARGEST_BATCH = Settings().max_batch_size  # that is proved where no other one is asked for
LARGEST = 2 * GIB  # bytes of a model's files that are worth loading a few times only to know its batch axis
MEMORY = 12 * GIB  # bytes for a trial, at most
LEAST_MEMORY, COPIES = (
    4 * GIB,
    8,
)  # for the smallest model, and of the model's size: its runtimes hold it more than once
SECONDS = 180.0  # for a trial of a small model, and once more for each GiB
LOADED = "loaded"  # a file in a trial's folder, from when its model is loaded
_TRIAL = "tritonpm.convert.trial:answer"
_SMALLER = "export it smaller, or in another way"


def prove(
    stage: Stage,
    files: Mapping[str, Path],
    samples: Sequence[Path],
    workdir: Path,
    apart: Apart | None = None,
    *,
    largest: int = LARGEST_BATCH,
) -> tuple[BatchAxis, Path | None]:
    """What is known of a stage's batch axis and, where the model was rewritten for it, the new main file in `workdir`.

    `largest` is the batch that will be allowed at most; `files` says where the stage's files lie, by package path;
    `samples` are .npz files of inputs (else they are made up); `workdir` is an empty folder of the caller's, `apart` a
    process to try it in, else one is started.
    What a model does when it is run is a `reason`; UnsafeError is raised where it cannot even be loaded.
    """
    with nullcontext(apart) if apart else Apart() as process:
        return _proved(stage, files, samples, _Trials(process, workdir, largest))


@dataclass(frozen=True)
class _Trials:
    """The process and folder that models are tried in."""

    apart: Apart
    folder: Path
    largest: int

    def ask(self, stage: Stage, model: Path, size: int, request: dict[str, Any]) -> dict[str, Any]:
        """What a trial says. Raises UnsafeError where the model cannot be loaded within the limits."""
        request |= {"format": stage.format.value, "model": str(model)}
        memory = min(MEMORY, LEAST_MEMORY + COPIES * size)
        seconds = SECONDS * (1 + size / GIB)
        (self.folder / LOADED).unlink(missing_ok=True)
        try:
            raw = self.apart.ask(_TRIAL, json.dumps(request).encode(), self.folder, seconds=seconds, memory=memory)
            answer: dict[str, Any] = json.loads(raw)
        except EndedError as error:
            reason = str(error)
            if error.limit and not (self.folder / LOADED).exists():
                answer = {"verdict": "beyond", "reason": reason}
            else:
                answer = {"verdict": "unrun", "reason": f"running it {reason}", "ended": True}
        if answer.get("verdict") == "beyond":
            raise UnsafeError(f"loading its model {answer['reason']}", where=f"stage {stage.name}", do=_SMALLER)
        return answer


def _proved(
    stage: Stage, files: Mapping[str, Path], samples: Sequence[Path], trials: _Trials
) -> tuple[BatchAxis, Path | None]:
    size = sum(files[path].stat().st_size for path in stage.files)
    runnable = stage.config is None and stage.format in RUNNABLE and size <= LARGEST
    model = laid_out(stage, files, trials.folder / "model") if runnable else None
    signature = stage.signature
    if model and stage.format is Format.ONNX and _vague(signature):
        stage = replace(stage, signature=_described(stage, model, size, trials))
    axis, rewritten = _judged(stage, model, samples, size, trials)
    if stage.signature != signature and axis.signature is None:
        axis = replace(axis, signature=stage.signature)
    return axis, rewritten


def _judged(
    stage: Stage, model: Path | None, samples: Sequence[Path], size: int, trials: _Trials
) -> tuple[BatchAxis, Path | None]:
    signature = stage.signature
    dynamic, static = signature.dynamic_batch, signature.static_batch_one
    if not (signature.open_batch or static):
        return BatchAxis("none", _no_axis(signature)), None
    if static and (single := _single(signature)):
        return BatchAxis("none", f"{single} has shape [1], for which Triton would want [1, 1] if it batched"), None
    if stage.config is not None:
        return BatchAxis("declared" if dynamic else "none", "its own config.pbtxt says how it batches"), None
    if stage.format not in RUNNABLE:
        return _unproved(dynamic, f"a {stage.format.value} model cannot be run here to prove it"), None
    if model is None:
        return _unproved(dynamic, f"the model is larger than {human(LARGEST)}, so it was not run to prove it"), None
    axis, rewritten = _tried(stage, model, samples, size, trials)
    if static or dynamic or axis.kind == "proved":
        return axis, rewritten
    return replace(axis, kind="none", reason=f"{_no_axis(signature)}, and {axis.reason}"), None


def _tried(
    stage: Stage, model: Path, samples: Sequence[Path], size: int, trials: _Trials
) -> tuple[BatchAxis, Path | None]:
    request = {
        "inputs": [[t.name, t.dtype, t.shape, t.optional] for t in stage.signature.inputs],
        "values": {name: asdict(values) for name, values in stage.values.items()},
        "rewrite": not stage.signature.open_batch,
        "samples": [str(path) for path in samples],
        "largest": trials.largest,
    }
    answer = trials.ask(stage, model, size, request)
    if answer.get("ended"):  # values that it was not made for may take all memory, or its process
        model.with_name(f"batchable-{model.name}").unlink(missing_ok=True)
        answer = trials.ask(stage, model, size, {**request, "tame": True})
    dynamic, power = stage.signature.open_batch, Power(**answer.get("power", {}))
    if answer["verdict"] == "unrun":
        return _unproved(dynamic, answer["reason"]), None
    if answer["verdict"] == "refuted" or (answer["verdict"] == "blind" and not dynamic):
        return BatchAxis("none", answer["reason"], power=power), None
    if answer["verdict"] == "blind":
        return BatchAxis("declared", answer["reason"], largest=trials.largest, power=power), None
    if dynamic:
        return BatchAxis("proved", answer["reason"], largest=trials.largest, power=power), None
    rewritten = Path(answer["rewritten"])
    digest = digest_of(rewritten)
    axis = BatchAxis("proved", answer["reason"], digest, batched(stage.signature), largest=trials.largest, power=power)
    return axis, rewritten


def _vague(signature: Signature) -> bool:
    """Whether the file leaves open more of its outputs' shapes than the batch."""
    first = 1 if signature.open_batch else 0
    return any(t.shape is None or any(isinstance(d, str) for d in t.shape[first:]) for t in signature.outputs)


def _described(stage: Stage, model: Path, size: int, trials: _Trials) -> Signature:
    """The signature with what onnxruntime infers of the outputs' shapes."""
    return exact(stage.signature, trials.ask(stage, model, size, {"describe": True}).get("outputs", {}))


def batched(signature: Signature) -> Signature:
    """The signature with its first dimensions dynamic, of one name."""

    def free(tensor: Tensor) -> Tensor:
        return replace(tensor, shape=("batch", *(tensor.shape or ())[1:]))

    return replace(signature, inputs=tuple(map(free, signature.inputs)), outputs=tuple(map(free, signature.outputs)))


def _unproved(dynamic: bool, reason: str) -> BatchAxis:
    if dynamic:
        return BatchAxis("declared", f"every input and output has a dynamic first dimension; {reason}")
    return BatchAxis("none", f"the model has a static batch of 1; {reason}")


def _single(signature: Signature) -> str:
    """A tensor that is nothing but its batch of 1: clients could not go on sending it as it is."""
    kinds = (("input", signature.inputs), ("output", signature.outputs))
    return next((f"{kind} {t.name!r}" for kind, tensors in kinds for t in tensors if len(t.shape or ()) == 1), "")


def _no_axis(signature: Signature) -> str:
    """Which tensor it is that has no batch axis."""
    if not signature.inputs or not signature.outputs:
        return "a model without inputs or outputs has no batch axis"
    for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        for tensor in tensors:
            if tensor.shape is None:
                return f"the model does not tell the rank of its {kind} {tensor.name!r}"
            if not tensor.shape:
                return f"{kind} {tensor.name!r} is a scalar"
            if isinstance(tensor.shape[0], int) and tensor.shape[0] != 1:
                return f"{kind} {tensor.name!r} has a fixed first dimension of {tensor.shape[0]}"
    shown = ", ".join(f"{t.name!r} {t.shape[0]}" for t in (*signature.inputs, *signature.outputs) if t.shape)
    return f"the inputs and outputs do not share their first dimension ({shown})"


def laid_out(stage: Stage, files: Mapping[str, Path], folder: Path) -> Path:
    """The stage's files side by side as in the package (blobs are not); hard links, since runtimes refuse symlinks."""
    for path in stage.files:
        place = folder / PurePosixPath(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(files[path], place)
    return folder / PurePosixPath(stage.model)
