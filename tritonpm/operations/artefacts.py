"""What a package's settings ask to be optimised, and what of it is there and fits this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tritonpm.convert.conversion import MissingToolError
from tritonpm.convert.plan import Work, cascade_key, works
from tritonpm.core.errors import NotOptimisedError, OptimisationError
from tritonpm.core.types import Agreement, CascadeProof, Optimised, Step
from tritonpm.operations.batch_axes import batch_axes

if TYPE_CHECKING:
    from tritonpm.catalogue import Record, Source
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class OptimisationView:
    """How a stage was optimised. `state` is verified, unverified, stale or missing; the measures are the worst seen."""

    stage: str
    optimizer: str
    precision: str
    state: str
    reason: str = ""
    bytes: int = 0
    agreement: Agreement = field(default_factory=Agreement)
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


def works_of(context: Context, record: Record | Source) -> tuple[list[Work], CascadeProof | None]:
    """What the settings ask to be optimised and, of a cascade, the proof of the whole."""
    if not (record.settings.stages or record.settings.optimised):
        return [], None
    axes = batch_axes(context, record.package)
    asked = works(record.package, record.settings, axes)
    if not asked or not record.package.cascade:
        return asked, None
    proof = context.catalogue.artefacts.cascade(cascade_key(record.package, asked))
    return works(record.package, record.settings, axes, proof.back if proof else ()), proof


def made(context: Context, record: Record | Source) -> dict[str, Optimised]:
    """What is there and fits this machine, by stage; of a cascade only once the whole was proved."""
    asked, proof = works_of(context, record)
    if record.package.cascade and proof is None:
        return {}
    kept = ((work, kept_artefact(context, work.key)) for work in asked)
    return {work.stage.name: artefact for work, artefact in kept if artefact and not _stale(context, work, artefact)}


def required(context: Context, record: Record) -> dict[str, Optimised]:
    """All that the settings ask for. Raises NotOptimisedError where some is missing, or does not fit any more."""
    there, name = made(context, record), record.package.name
    for stage in stages(context, record):
        if stage.stage not in there:
            what = f"its engine is stale: {stage.reason}" if stage.state == "stale" else "is not optimised yet"
            raise NotOptimisedError(f"stage {stage.stage} {what}", where=name, do=f"`tritonpm optimize {name}`")
    return there


def stages(context: Context, record: Record) -> tuple[OptimisationView, ...]:
    """Stage by stage what was asked for and what is there."""
    asked, proof = works_of(context, record)
    views = {work.stage.name: _view(context, work) for work in asked}
    for stage in proof.back if proof else ():
        wanted = record.settings.for_stage(stage).precision
        note = f"went back to FP32, since at {wanted} {proof.reason}" if proof else ""
        view = views.get(stage, OptimisationView(stage, "none", "FP32", "verified"))
        views[stage] = replace(view, notes=(*view.notes, note))
    return tuple(views[stage.name] for stage in record.package.stages if stage.name in views)


def require_calibrated(record: Record, asked: Iterable[Work]) -> None:
    """Raise OptimisationError where a work is calibrated on samples, and there are none."""
    for work in asked:
        if work.needs_samples and not (work.settings.calibration or work.stage.samples or record.package.samples):
            raise OptimisationError(
                "INT8 is calibrated on samples, and the package has none",
                where=f"{record.package.name}, stage {work.stage.name}",
                do=f"`tritonpm optimize {record.package.name} --calibration FOLDER` takes .npz files and images",
            )


def kept_artefact(context: Context, key: str) -> Optimised | None:
    """What was made under a key, where all its files are there."""
    artefact = context.catalogue.artefacts.get(key)
    return artefact if artefact and all(context.blobs.has(file.digest) for file in artefact.files) else None


def _view(context: Context, work: Work) -> OptimisationView:
    artefact = kept_artefact(context, work.key)
    if artefact is None:
        return OptimisationView(work.stage.name, work.plan.optimizer, work.plan.precision, "missing")
    stale, size = _stale(context, work, artefact), sum(file.size for file in artefact.files)
    return OptimisationView(
        work.stage.name, artefact.optimizer, artefact.precision, "stale" if stale else artefact.agreement.state,
        stale or artefact.agreement.reason, size, artefact.agreement, artefact.steps, artefact.notes,
    )  # fmt: skip


def _stale(context: Context, work: Work, artefact: Optimised) -> str:
    """Why an engine does not fit this machine's toolkit or GPUs; "" where it does, or is for another machine."""
    if artefact.optimizer != "tensorrt" or not artefact.steps:
        return ""
    from tritonpm.convert.tensorrt import stale, toolkit

    chosen, elsewhere = work.settings.gpus, work.settings.compute_capability
    gpus = () if elsewhere else tuple(gpu for gpu in context.target.gpus if not chosen or gpu.index in chosen)
    try:
        kit = toolkit()
    except MissingToolError:
        return stale(artefact.steps[-1], None, gpus)
    return stale(artefact.steps[-1], (kit.flavour, kit.version), gpus)
