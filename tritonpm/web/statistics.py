"""What Triton counted of a package's models: how often, how long each part of it took, and in which batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritonpm.core.errors import ServerError
from tritonpm.operations.context import Context
from tritonpm.operations.server import connect
from tritonpm.triton.client import plainly


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
    with connect(context) as client, plainly(client.where, name, ServerError):
        answer = client.raw.get_inference_statistics(headers=client.headers)
    return [_counted(entry) for entry in answer.get("model_stats", ()) if entry["name"] in mine]


def _counted(entry: Mapping[str, Any]) -> ModelStatistics:
    told = entry.get("inference_stats", {})

    def average(part: str) -> float:
        count = int(told.get(part, {}).get("count", 0))
        return int(told[part].get("ns", 0)) / count / 1000 if count else 0.0

    return ModelStatistics(
        entry["name"], str(entry["version"]), int(entry.get("inference_count", 0)),
        int(entry.get("execution_count", 0)), int(told.get("fail", {}).get("count", 0)),
        average("queue"), average("compute_input"), average("compute_infer"), average("compute_output"),
        average("success"), int(entry.get("last_inference", 0)),
        {int(each["batch_size"]): int(each["compute_infer"]["count"]) for each in entry.get("batch_stats", ())},
    )  # fmt: skip
