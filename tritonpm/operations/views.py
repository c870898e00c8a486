"""What the manager's use cases return: frozen results, printed by the CLI and the page; their keys are the JSON's.

The keys are documented in docs/json.md and stay stable within an API version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tritonpm.catalogue import Record, Summary
from tritonpm.catalogue.jobs import Event, Job
from tritonpm.core.types import Agreement, BatchAxis, Package, Revision, Step, Tensor
from tritonpm.operations.list import PackageView, status
from tritonpm.settings.settings import Settings


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


@dataclass(frozen=True)
class ConversionView:
    """A converted file, and how its answers compare with the original's."""

    model: str
    format: str
    precision: str
    bytes: int
    agreement: Agreement
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class LayerView:
    """A layer of a running model; `micros` is what it took in one inference, None where it was not run."""

    stage: str
    name: str
    kind: str
    kernel: str
    precision: str
    micros: float | None


@dataclass(frozen=True)
class JobView:
    """A job: what it works on, how far it is, how it ended."""

    id: int
    package: str
    state: str
    stage: str
    step: str
    done: int
    total: int
    reason: str
    created: str


@dataclass(frozen=True)
class PackageDetails(PackageView):
    """All that `show` knows. `pending`: the settings have changed since the published revision."""

    version: str = ""
    exporter: str = ""
    instances: int = 1
    pending: bool = False
    stages_in_detail: tuple[StageView, ...] = ()
    optimisations: tuple[OptimisationView, ...] = ()
    settings: Settings = field(default_factory=Settings)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What a file holds."""

    name: str
    type: str
    version: str
    digest: str
    stages: tuple[StageView, ...]


@dataclass(frozen=True)
class Damage:
    """Something that is not what the catalogue says. `kind` is blob, file, orphan or foreign."""

    kind: str
    name: str
    sentence: str
    mendable: bool


@dataclass(frozen=True)
class Action:
    """One thing that `apply` does: import, upgrade, set, load, unload or remove."""

    what: str
    package: str
    sentence: str


@dataclass(frozen=True)
class RevisionView:
    """A revision that is kept: what it was made of, and whether it is the current one."""

    number: int
    version: str
    mode: str
    device: str
    max_batch_size: int
    precision: str
    published: str
    digest: str
    current: bool


@dataclass(frozen=True)
class Rendering:
    """What was written where."""

    name: str
    revision: str
    models: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ServerView:
    """A running server's addresses (host:port) and log file."""

    version: str
    pid: int
    http: str
    grpc: str
    metrics: str
    log: str


@dataclass(frozen=True)
class Loaded:
    """A package that was loaded, and what its probe proved."""

    name: str
    revision: int
    probe: str


@dataclass(frozen=True)
class ModelView:
    """A model on the server beside the packages it belongs to ("" where it is foreign)."""

    name: str
    version: str
    state: str
    reason: str
    package: str
    status: str
    inferences: int
    failures: int
    instances: int | None = None  # on all devices; None for an ensemble and for what is not loaded
    queue_us: float | None = None  # the average wait of a request since it was loaded, in µs
    last_inference: str = ""  # ISO 8601, "" for never


@dataclass(frozen=True)
class StatusView:
    """The server's side and the workspace's, together. `state` is live, not live or stopped."""

    server: str
    state: str
    version: str
    models: tuple[ModelView, ...]
    advice: tuple[str, ...] = ()  # on settings, from what ran
    drift: tuple[str, ...] = ()  # where the server serves something else than the catalogue says


@dataclass(frozen=True)
class TensorView:
    """One tensor of an answer; `values` are the first few, for a person, `labels` the likeliest class of each row."""

    name: str
    dtype: str
    shape: str
    values: str
    labels: str = ""


@dataclass(frozen=True)
class Answer:
    """An inference's outputs."""

    tensors: tuple[TensorView, ...]


def summary(package: Package, settings: Settings) -> Summary:
    """What a list shows of a package with these settings."""
    kinds = " + ".join(stage.task.value.replace("-", " ") for stage in package.stages)
    stages = tuple(stage.name for stage in package.stages)
    batch = min(settings.for_stage(name).max_batch_size for name in stages)
    return Summary(kinds, stages, settings.mode, settings.device, batch, precision(package, settings))


def precision(package: Package, settings: Settings) -> str:
    """What was chosen, else what the models came in: of their first floating-point tensor, FP32 where there is none."""
    if settings.precision != "FP32":
        return settings.precision
    tensors = [t for s in package.stages for t in (*s.signature.inputs, *s.signature.outputs)]
    return next((t.dtype for t in tensors if t.dtype in ("FP16", "BF16", "FP32", "FP64")), "FP32")


def job_view(job: Job, event: Event | None) -> JobView:
    """A job for people."""
    created = datetime.fromtimestamp(job.created).astimezone().isoformat(timespec="seconds")
    event = event or Event("", "")
    return JobView(
        job.id, job.package, job.state, event.stage, event.step, event.done, event.total, job.reason, created
    )


def details(
    record: Record,
    axes: Mapping[str, BatchAxis],
    revision: Revision,
    *,
    instances: int,
    pending: bool,
    job: Job | None,
    optimisations: tuple[OptimisationView, ...],
    said: Sequence[str],
    used_by: tuple[str, ...],
) -> PackageDetails:
    """Everything about a package."""
    p, s = record.package, record.summary
    return PackageDetails(
        p.name, s.type, s.stages, s.mode, s.device, s.max_batch_size, s.precision,
        *status(record.status, record.reason, job), record.revision, p.digest, used_by,
        version=p.version,
        exporter=f"{p.exporter} {p.exporter_version}".strip(),
        instances=instances,
        pending=pending,
        stages_in_detail=tuple(stage_view(p, stage.name, axes[stage.name]) for stage in p.stages),
        optimisations=optimisations,
        settings=record.settings,
        notes=(*said, *(note for model in revision.models for note in model.notes)),
    )  # fmt: skip


def stage_view(package: Package, name: str, axis: BatchAxis | None) -> StageView:
    """One stage; without a proof its batch axis is what the file declares."""
    stage = package.stage(name)
    signature = (axis.signature if axis else None) or stage.signature
    said = "declared" if stage.signature.dynamic_batch else "not declared"
    return StageView(
        name,
        stage.task.value,
        stage.format.value,
        signature.inputs,
        signature.outputs,
        axis.kind if axis else said,
        axis.reason if axis else "",
        len(stage.signature.labels),
    )


def inspection(package: Package) -> Inspection:
    """What was read."""
    kinds = " + ".join(stage.task.value.replace("-", " ") for stage in package.stages)
    stages = tuple(stage_view(package, stage.name, None) for stage in package.stages)
    return Inspection(package.name, kinds, package.version, package.digest, stages)


def rendering(name: str, revision: Revision) -> Rendering:
    """What a revision holds."""
    notes = tuple(note for model in revision.models for note in model.notes)
    return Rendering(name, revision.digest[:16], tuple(model.name for model in revision.models), notes)
