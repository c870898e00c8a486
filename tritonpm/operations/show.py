"""`tritonpm show`: everything about one package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from tritonpm.core.types import BatchAxis, Package, Stage, Tensor
from tritonpm.meaning.stages import PACKAGE, SETTINGS, of_stage
from tritonpm.operations.artefacts import OptimisationView, made, stages
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.cascades import why_no_cascade
from tritonpm.operations.list import PackageView, status, unproved
from tritonpm.operations.optimize.decision import of_settings
from tritonpm.operations.render import revision_of
from tritonpm.operations.summary import batch_size
from tritonpm.operations.summary import summary as summary_of
from tritonpm.settings.settings import Settings
from tritonpm.triton import liveness

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class MeaningView:
    """One field of what a stage's tensors mean, and who said it: package, settings, or what wrote the model."""

    name: str  # e.g. decode.score
    value: object
    said_by: str
    inferred: bool  # nobody but what wrote the model said it


@dataclass(frozen=True)
class StageView:
    """One stage: its tensors and what is known of its batch axis."""

    name: str
    task: str
    format: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch_axis: str
    batch_reason: str
    labels: int
    max_batch_size: int | None = None  # what Triton joins of it, 0: each request is executed as it comes
    settings: Mapping[str, object] = field(default_factory=dict)  # the stage's own, over the package's
    meaning: tuple[MeaningView, ...] = ()  # what nobody said is not among it


@dataclass(frozen=True)
class PackageDetails(PackageView):
    """All that `show` knows. `pending`: what is wanted is not what is published."""

    exporter: str = ""
    license: str = ""
    model_card: str = ""
    instances: int = 1
    pending: bool = False
    stages_in_detail: tuple[StageView, ...] = ()
    optimisations: tuple[OptimisationView, ...] = ()
    settings: Settings = field(default_factory=Settings)
    notes: tuple[str, ...] = ()
    verdict: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # conditions by name
    comparison: tuple[str, ...] = ()  # what optimising has gained and lost, for the settings of now


def show(context: Context, name: str) -> PackageDetails:
    """Everything about one package. Raises NotFoundError."""
    from tritonpm.repository.config import instances
    from tritonpm.settings import warnings

    catalogue, record = context.catalogue, context.catalogue.get(name)
    package, settings = record.package, record.settings
    axes, artefacts = batch_axes(context, package), made(context, record)
    summary = summary_of(context, package, settings, axes)
    revision = revision_of(context, package, settings, axes, optimised=artefacts)
    proved, decision = catalogue.proved(name), of_settings(catalogue.jobs, name, settings)
    current = proved.revision if proved else catalogue.revision(name)
    alive = liveness.server_lives(context.workspace.server)
    notes = [*warnings(package, settings, axes, context.target, artefacts)]
    notes += filter(None, [why_no_cascade(context, package)])
    detailed = (
        replace(
            stage_view(package, stage.name, axes[stage.name]),
            max_batch_size=batch_size(stage, settings, axes[stage.name], artefacts.get(stage.name)),
            settings=settings.stages.get(stage.name, {}),
            meaning=meaning_view(stage, settings.for_stage(stage.name)),
        )
        for stage in package.stages
    )
    return PackageDetails(
        name, summary.type, summary.stages, summary.mode, summary.device, summary.max_batch_size, summary.precision,
        *status(record, catalogue.jobs.running(name), alive), record.proved or record.revision, package.digest,
        catalogue.leases.users().get(name, ()), record.proved,
        unproved(catalogue, name, record),
        record.canary_of,
        version=package.version,
        serves=record.status == "loaded" and (bool(record.server) or alive),
        exporter=f"{package.exporter} {package.exporter_version}".strip(),
        license=package.license,
        model_card=package.model_card or "",
        instances=instances(settings, context.target, package),
        pending=current is not None and current.digest != revision.digest,
        stages_in_detail=tuple(detailed),
        optimisations=stages(context, record),
        settings=settings,
        verdict=package.verdict,
        notes=(*notes, *(note for model in revision.models for note in model.notes)),
        comparison=decision.sentences if decision else (),
    )  # fmt: skip


def meaning_view(stage: Stage, settings: Settings) -> tuple[MeaningView, ...]:
    """What is known of a stage's tensors, field by field; () where what is said cannot be, which a rule tells."""
    try:
        meaning = of_stage(stage, preprocess=settings.preprocess, decode=settings.decode)
    except ValueError:
        return ()
    parts = {"preprocess": meaning.preprocess, "decode": meaning.decode}
    cut = [MeaningView(f"crop.{name}", value, PACKAGE, False) for name, value in (stage.crop or {}).items()]
    whole = {part: msgspec.to_builtins(spec) for part, spec in parts.items() if spec is not None}
    said = (
        MeaningView(name, whole[part][key], who, who not in (PACKAGE, SETTINGS))
        for name, who in meaning.said.items()
        for part, _, key in [name.partition(".")]
    )
    return (*said, *cut)


def stage_view(package: Package, name: str, axis: BatchAxis | None) -> StageView:
    """One stage; without a proof its batch axis is what the file declares."""
    stage = package.stage(name)
    signature = (axis.signature if axis else None) or stage.signature
    declared = "declared" if stage.signature.dynamic_batch else "not declared"
    return StageView(
        name,
        stage.task.value,
        stage.format.value,
        signature.inputs,
        signature.outputs,
        axis.kind if axis else declared,
        axis.reason if axis else "",
        len(stage.signature.labels),
        meaning=meaning_view(stage, Settings()),
    )
