"""What Triton says it has done: the one place that knows the shape of its statistics and of its metrics.

Source: Triton's statistics extension, and its metrics documentation (counters, summary latencies). Over gRPC numbers
are text and zeros are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tritonpm.core.errors import ServerError

_PREFIX = "nv_inference_"
_QUANTILES = f"{_PREFIX}request_summary_us"  # only where the server was started with summary latencies


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something was done, and how long it took in all (nanoseconds)."""

    count: int = 0
    ns: int = 0

    @property
    def average_us(self) -> float | None:
        """Microseconds of one; None where there was none."""
        return self.ns / self.count / 1000 if self.count else None

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.count + other.count, self.ns + other.ns)


@dataclass(frozen=True)
class Statistics:
    """What a version of a model has done since it was loaded."""

    name: str
    version: str = ""
    inferences: int = 0
    executions: int = 0
    last_inference_ms: int = 0  # Unix time in milliseconds, 0 for never
    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    batches: Mapping[int, int] = field(default_factory=dict)  # batch size → how often it was executed

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Statistics:
        """An entry of Triton's answer."""
        parts = entry.get("inference_stats", {})
        durations = {name: _duration(parts.get(name, {})) for name in _DURATIONS}
        batches = entry.get("batch_stats", ())
        return cls(
            str(entry["name"]),
            str(entry.get("version", "")),
            int(entry.get("inference_count", 0)),
            int(entry.get("execution_count", 0)),
            int(entry.get("last_inference", 0)),
            batches={
                int(batch.get("batch_size", 0)): _duration(batch.get("compute_infer", {})).count for batch in batches
            },
            **durations,
        )

    @property
    def requests(self) -> int:
        """Those that were answered, and those that failed."""
        return self.success.count + self.fail.count

    @property
    def compute(self) -> Duration:
        """Inputs, inference and outputs."""
        return Duration(
            self.compute_infer.count, self.compute_input.ns + self.compute_infer.ns + self.compute_output.ns
        )


_DURATIONS = tuple(field.name for field in fields(Statistics) if isinstance(field.default, Duration))


def statistics_of(answer: Mapping[str, Any]) -> list[Statistics]:
    """Every version of every model in Triton's answer."""
    return [Statistics.of(entry) for entry in answer.get("model_stats", ())]


def total(name: str, versions: Iterable[Statistics]) -> Statistics:
    """All the versions of a model together, but for their batches."""
    listed = list(versions)
    durations: dict[str, Any] = {p: sum((getattr(one, p) for one in listed), Duration()) for p in _DURATIONS}
    return Statistics(
        name,
        inferences=sum(one.inferences for one in listed),
        executions=sum(one.executions for one in listed),
        last_inference_ms=max((one.last_inference_ms for one in listed), default=0),
        **durations,
    )


@dataclass(frozen=True, slots=True)
class Counters:
    """What both statistics and metrics tell of a version of a model: how often and how long (µs) since it was loaded.

    `pending` are requests that wait now; p50 and p99 are Triton's own, over about its last minute. None: not told.
    """

    model: str
    version: str
    requests: int = 0  # that were answered
    failures: int = 0
    inferences: int = 0
    executions: int = 0
    request_us: int = 0  # of the requests that were answered
    queue_us: int = 0
    compute_us: int = 0  # inputs, inference and outputs
    pending: int | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    loaded: bool = True  # False: what the endpoint keeps of a model that was unloaded


@dataclass(frozen=True, slots=True)
class ServerCounters:
    """Of every model of a server: by which source (metrics, statistics), and whether it tells percentiles."""

    counters: list[Counters]
    source: str
    percentiles: bool


# A series of the endpoint, without its prefix → the field to which it is added
_SERIES = {
    "request_success": "requests",
    "request_failure": "failures",  # one series for each reason
    "count": "inferences",
    "exec_count": "executions",
    "request_duration_us": "request_us",
    "queue_duration_us": "queue_us",
    "compute_input_duration_us": "compute_us",
    "compute_infer_duration_us": "compute_us",
    "compute_output_duration_us": "compute_us",
    "pending_request_count": "pending",
}
_PERCENTILES = {"0.5": "p50_us", "0.99": "p99_us"}


def by_statistics(listed: Iterable[Statistics]) -> ServerCounters:
    """The counters of statistics, which tell neither what is pending nor percentiles."""
    return ServerCounters([_counters(one) for one in listed], "statistics", percentiles=False)


def by_metrics(text: str, *, where: str = "") -> ServerCounters:
    """What an answer of the metrics endpoint says of every model. Raises ServerError where it is no such answer."""
    from prometheus_client.parser import text_string_to_metric_families

    known: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith(_PREFIX) and "model" in sample.labels:
                    key = sample.labels["model"], sample.labels.get("version", "")
                    _add(known.setdefault(key, {}), sample.name, sample.labels, sample.value)
    except ValueError as error:
        raise ServerError(f"the answer is not Triton's metrics ({error})", where=where) from None
    # Triton goes on telling the failures of a model that was unloaded, and goes on counting them after the next load.
    counters = [Counters(*key, **values, loaded="requests" in values) for key, values in known.items()]
    return ServerCounters(counters, "metrics", f"\n{_QUANTILES}{{" in text)


def _duration(figure: Mapping[str, Any]) -> Duration:
    return Duration(int(figure.get("count", 0)), int(figure.get("ns", 0)))


def _counters(one: Statistics) -> Counters:
    return Counters(
        one.name,
        one.version,
        one.success.count,
        one.fail.count,
        one.inferences,
        one.executions,
        one.success.ns // 1000,
        one.queue.ns // 1000,
        one.compute.ns // 1000,
    )


def _add(values: dict[str, Any], series: str, labels: Mapping[str, str], value: float) -> None:
    if series == _QUANTILES:
        name = _PERCENTILES.get(labels.get("quantile", ""))
        if name and not math.isnan(value):  # not a number: no request in the last minute
            values[name] = float(value)
    elif name := _SERIES.get(series.removeprefix(_PREFIX).removesuffix("_total")):  # the parser's own, of counters
        values[name] = values.get(name, 0) + int(value)
