"""`tritonpm profile`: where the time of a package's models goes, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, OptimisationError
from tritonpm.core.types import Format, Optimised, Stage
from tritonpm.operations.artefacts import made, works_of
from tritonpm.operations.optimize.jobs import default_memory
from tritonpm.operations.stage_inputs import JobLimits, StageInputs

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_SECONDS = 300.0


@dataclass(frozen=True)
class LayerView:
    """A layer of a running model; `micros` is what it took in one inference, None where it was not run."""

    stage: str
    name: str
    kind: str
    kernel: str
    precision: str
    micros: float | None


def profile(context: Context, name: str, stage: str | None = None) -> list[LayerView]:
    """Where the time of a package's models goes as they are served, the slowest layer of each stage first.

    Raises NotFoundError, OptimisationError where a model does not run here.
    """
    record = context.catalogue.get(name)
    wanted = [one for one in record.package.stages if stage in (None, one.name)]
    if not wanted:
        raise NotFoundError(f"there is no stage {stage!r}", where=name, do=f"`tritonpm show {name}` lists them")
    artefacts, keys = made(context, record), {work.stage.name: work.key for work in works_of(context, record)[0]}
    layers: list[LayerView] = []
    with context.workspace.scratch("profile") as folder:
        inputs = StageInputs(context, record, folder, JobLimits(_SECONDS, default_memory()))
        for one in wanted:
            artefact = artefacts.get(one.name)
            if artefact and artefact.format is Format.TENSORRT and not context.target.gpus:
                layers += _as_built(one.name, artefact)
            else:
                layers += _measured(context, inputs, one, artefact, keys.get(one.name, ""), name)
    return layers


def _measured(
    context: Context, inputs: StageInputs, stage: Stage, artefact: Optimised | None, key: str, name: str
) -> Iterator[LayerView]:
    model = inputs.optimised(artefact, key) if artefact else None
    with context.progress(f"Profiling {stage.name}"):
        answer, _ = inputs.ask(inputs.profile(stage, model), "profile")
    if answer.state == "failed":
        raise OptimisationError(answer.reason, where=f"{name}, stage {stage.name}")
    for layer in answer.layers:
        yield LayerView(stage.name, *astuple(layer))


def _as_built(stage: str, artefact: Optimised) -> Iterator[LayerView]:
    """An engine's layers as its build told them. Without a GPU there are no times."""
    rows: list[list[str]] = list(artefact.steps[-1].details["layers"])  # type: ignore[call-overload]
    for name, kind, kernel, precision in rows:
        yield LayerView(stage, name, kind, kernel, precision, None)
