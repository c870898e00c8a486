"""What is known of each stage's batch axis, proved once for each content, and again for a larger batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tritonpm.core.apart import Apart
from tritonpm.core.files import digest_of
from tritonpm.core.types import BatchAxis, File, Package, Stage

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings

Place = Callable[[File], Path]


def batch_axes(
    context: Context,
    package: Package,
    place: Place | None = None,
    apart: Apart | None = None,
    *,
    settings: Settings | None = None,
) -> dict[str, BatchAxis]:
    """By stage; `place` says where the package's files lie, if not in blobs, `apart` is a process to try models in.

    With `settings` they are proved at what those allow: what was proved at less is proved again.
    A model that the release would not serve as it is is rewritten first, which may raise PackageError.
    Raises UnsafeError where a model cannot even be loaded within the limits of time and memory.
    """
    axes = {}
    for stage in package.stages:
        key = _key(context, package, stage)
        known = context.catalogue.axis(key)
        axis = known if known and (not known.artefact or context.blobs.has(known.artefact)) else None
        asked = settings.for_stage(stage.name).max_batch_size if settings else 0
        if axis is None:
            axis = _proved(context, package, stage, place or in_blobs(context), apart)
        if axis.largest and axis.largest < asked and not (axis.wrong and axis.wrong <= asked):
            axis = _raised(axis, asked, _proved(context, package, stage, place or in_blobs(context), apart, asked))
        if axis != known:
            context.catalogue.put_axis(key, axis)
        axes[stage.name] = axis
    return axes


def in_blobs(context: Context) -> Place:
    """Where the files of a package lie that is in the workspace."""
    return lambda file: context.blobs.path(file.digest)


def _key(context: Context, package: Package, stage: Stage) -> str:
    """Over all that a proof depends on but the batch: the model's files, what it is tried on, what it is made for.

    The first word is the content that keeps what was rewritten (see `catalogue.references`).
    """
    from tritonpm.convert.batch import PROOF
    from tritonpm.convert.lowering import unfit

    release = context.release
    files = [package.file(path).digest for path in stage.files]
    samples = [package.file(sample.inputs).digest for sample in stage.samples]
    parts = [files, samples, stage.values, stage.model]
    content = hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
    kept = package.file(stage.model).digest if stage.model else package.digest
    older = ""
    if unfit(stage, release, gpus := bool(context.target.gpus)):
        older = f"{release.ir}.{release.opset}.{release.ml} {'gpu' if gpus else release.onnxruntime}"
    return f"{kept} {content} {PROOF} {stage.format.value} {'adopted' if stage.config else older}"


def _raised(axis: BatchAxis, asked: int, again: BatchAxis) -> BatchAxis:
    """What is known once a larger batch was tried: where that one is wrong, what was proved stays so."""
    if again.kind == "none":
        return replace(axis, wrong=asked, beyond=again.reason)
    return replace(again, largest=asked)


def _proved(
    context: Context, package: Package, stage: Stage, place: Place, apart: Apart | None, largest: int = 0
) -> BatchAxis:
    from tritonpm.convert.batch import LARGEST_BATCH, prove
    from tritonpm.convert.lowering import lower, opened, unfit

    with context.progress(f"Proving the batch axis of {stage.name}"), context.workspace.scratch("axis") as folder:
        files = {path: place(package.file(path)) for path in stage.files}
        samples = [place(package.file(sample.inputs)) for sample in stage.samples]
        older, signature, gpus = None, stage.signature, bool(context.target.gpus)
        if unfit(stage, context.release, gpus):
            older = lower(stage, files, samples, context.release, _fresh(folder / "lowering"), apart, gpus=gpus)
        if older:
            files[stage.model], stage = older.path, replace(stage, signature=opened(signature))
        trial = _fresh(folder / "trial")
        axis, rewritten = prove(stage, files, samples, trial, apart, largest=largest or LARGEST_BATCH)
        if older:
            known = axis.signature or (stage.signature if stage.signature != signature else None)
            artefact = axis.artefact or digest_of(older.path)
            axis = replace(axis, artefact=artefact, lowered=older.sentence, signature=known)
        if axis.artefact and (made := rewritten or (older and older.path)):
            context.blobs.put(made, axis.artefact, move=True)
    return axis


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder
