"""What Triton itself counts of a model and its members, before and after a run. Source: the statistics extension.

perf_analyzer's own table leaves the members' queues out of a cascade's, so that is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tritonpm.core.errors import ServerError
from tritonpm.perf.measurement import Stage
from tritonpm.triton.client import plainly

if TYPE_CHECKING:
    from tritonpm.triton.client import Client

_TIMES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Counts:
    """Since the model was loaded: requests, inferences, executions, cache hits, nanoseconds of each of `_TIMES`."""

    requests: int
    inferences: int
    executions: int
    failures: int
    hits: int
    nanos: Mapping[str, int]


def models_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The models that do the work: an ensemble's members in series, else the model itself."""
    steps = (config.get("ensemble_scheduling") or {}).get("step") or ()
    return tuple(str(step["model_name"]) for step in steps) or (str(config["name"]),)


def counts(client: Client, model: str) -> Counts:
    """What the server has counted so far, over all versions of a model. Raises ServerError."""
    with plainly(client.where, model, ServerError):
        options = {"as_json": True} if client.protocol == "grpc" else {}
        answer = client.raw.get_inference_statistics(model, headers=client.headers, **options)
    entries = answer.get("model_stats", ())
    figures = [entry.get("inference_stats", {}) for entry in entries]

    def total(key: str, what: str) -> int:
        return sum(int(each.get(key, {}).get(what, 0)) for each in figures)

    return Counts(
        total("success", "count") + total("fail", "count"),
        sum(int(entry.get("inference_count", 0)) for entry in entries),
        sum(int(entry.get("execution_count", 0)) for entry in entries),
        total("fail", "count"),
        total("cache_hit", "count"),
        {key: total(key, "ns") for key in _TIMES},
    )


def stage(model: str, before: Counts, after: Counts) -> Stage:
    """What happened in between, for each request."""
    requests = max(1, after.requests - before.requests)
    queue, first, compute, last = ((after.nanos[key] - before.nanos[key]) / requests / 1000 for key in _TIMES)
    executions = max(1, after.executions - before.executions)
    batch = (after.inferences - before.inferences) / executions
    hits = after.hits - before.hits
    return Stage(model, after.requests - before.requests, batch, queue, first, compute, last, hits)
