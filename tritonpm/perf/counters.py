"""What a run changed in Triton's own statistics of a model and its members.

perf_analyzer's own table leaves the members' queues out of a cascade's, so that is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tritonpm.perf.measurement import StageTimes
from tritonpm.triton.answers import steps
from tritonpm.triton.statistics import Statistics, total

if TYPE_CHECKING:
    from tritonpm.triton.client import Client


def models_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The models that do the work: an ensemble's members in series, else the model itself."""
    return steps(config) or (str(config["name"]),)


def counts(client: Client, model: str) -> Statistics:
    """What the server has counted so far, over all versions of a model. Raises ServerError."""
    return total(model, client.statistics(model))


def stage(model: str, before: Statistics, after: Statistics) -> StageTimes:
    """What happened in between, for each request."""
    requests = after.requests - before.requests
    executions = max(1, after.executions - before.executions)

    def micros(part: str) -> float:
        spent: int = getattr(after, part).ns - getattr(before, part).ns
        return spent / max(1, requests) / 1000

    return StageTimes(
        model,
        requests,
        (after.inferences - before.inferences) / executions,
        micros("queue"),
        micros("compute_input"),
        micros("compute_infer"),
        micros("compute_output"),
        after.cache_hit.count - before.cache_hit.count,
    )
