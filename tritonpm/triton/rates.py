"""What models did between two looks at their counters, and how much that is in a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tritonpm.triton.statistics import Counters

# What begins anew together, when a model is loaded again; Triton's metrics go on counting its failures.
_TOGETHER = (("requests", "inferences", "executions", "request_us", "queue_us", "compute_us"), ("failures",))


@dataclass(frozen=True, slots=True)
class Rates:
    """A second's worth of requests, and what one took in the mean (µs). None: not told, or no request to tell it by.

    p50 and p99 are Triton's own, over about its last minute; of several versions the slowest.
    """

    requests_per_second: float | None = None
    inferences_per_second: float | None = None
    failures_per_second: float | None = None
    executions_per_second: float | None = None
    average_us: float | None = None
    queue_us: float | None = None
    compute_us: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    pending: int | None = None


def difference(before: Sequence[Counters], now: Sequence[Counters]) -> list[Counters]:
    """What was counted since `before`; a counter that is less than it was has begun anew, from zero."""
    known = {(counts.model, counts.version): counts for counts in before}
    return [_since(known.get((counts.model, counts.version)), counts) for counts in now]


def rates(counted: Iterable[Counters], stages: Iterable[Counters], seconds: float | None) -> Rates:
    """Of the versions of one model, `counted` in so many seconds, None where there was no look before.

    `stages` are the models in which a request waits and is computed: the members of a cascade, else the model itself.
    """
    versions, parts = list(counted), list(stages)
    levels = Rates(
        p50_us=max((version.p50_us for version in versions if version.p50_us is not None), default=None),
        p99_us=max((version.p99_us for version in versions if version.p99_us is not None), default=None),
        pending=_sum_told(part.pending for part in parts),
    )
    if not seconds:
        return levels
    requests = sum(version.requests for version in versions)
    return replace(
        levels,
        requests_per_second=requests / seconds,
        inferences_per_second=sum(version.inferences for version in versions) / seconds,
        failures_per_second=sum(version.failures for version in versions) / seconds,
        executions_per_second=sum(version.executions for version in versions) / seconds,
        average_us=sum(version.request_us for version in versions) / requests if requests else None,
        queue_us=sum(part.queue_us for part in parts) / requests if requests else None,
        compute_us=sum(part.compute_us for part in parts) / requests if requests else None,
    )


def _since(before: Counters | None, now: Counters) -> Counters:
    if before is None:
        return now
    grown: dict[str, int] = {}
    for names in _TOGETHER:
        more = {name: getattr(now, name) - getattr(before, name) for name in names}
        if min(more.values()) >= 0:
            grown |= more
    return replace(now, **grown)  # type: ignore[arg-type]


def _sum_told(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
