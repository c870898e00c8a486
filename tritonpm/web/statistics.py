"""What Triton counted of a package's models: how often, how long each part of it took, and in which batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tritonpm.core.types import Package
from tritonpm.operations.context import Context
from tritonpm.operations.server import connect
from tritonpm.repository.member_names import stage_of
from tritonpm.triton.statistics import Statistics


@dataclass(frozen=True)
class ModelStatistics:
    """Since the model was loaded. Times are microseconds of one request on average, 0 where there was none."""

    model: str
    version: str
    inferences: int
    executions: int
    failures: int
    queue_us: float
    input_us: float
    infer_us: float
    output_us: float
    total_us: float
    last_inference_ms: int  # Unix time in milliseconds, 0 for never
    batches: Mapping[int, int]  # batch size → how often it was executed


def statistics_of(context: Context, name: str) -> list[ModelStatistics]:
    """The package's model and its members; nothing where it is not loaded. Raises ServerError."""
    revision = context.catalogue.revision(name)
    mine = {name, *(model.name for model in revision.models)} if revision else {name}
    with connect(context) as client:
        return [_averages(model) for model in client.statistics() if model.name in mine]


def shares(package: Package, statistics: Sequence[ModelStatistics]) -> dict[str, float]:
    """How much of the models' time each stage that is loaded takes, of 1; 0 where nothing was asked yet."""
    single = len(package.stages) == 1
    times: dict[str, float] = {}
    for model in statistics:
        stage = package.stages[0].name if single else stage_of(model.model)
        if single or model.model != package.name:
            times[stage] = times.get(stage, 0.0) + model.input_us + model.infer_us + model.output_us
    whole = sum(times.values())
    return {stage: time / whole if whole else 0.0 for stage, time in times.items()}


def _averages(model: Statistics) -> ModelStatistics:
    parts = (model.queue, model.compute_input, model.compute_infer, model.compute_output, model.success)
    queue, first, infer, last, whole = (part.average_us or 0.0 for part in parts)
    return ModelStatistics(
        model.name, model.version, model.inferences, model.executions, model.fail.count,
        queue, first, infer, last, whole, model.last_inference_ms, model.batches,
    )  # fmt: skip
