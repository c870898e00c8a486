"""What every model of a server has done so far: by Triton's metrics endpoint, or by its statistics where there is none.

Source: Triton's metrics documentation (counters, summary latencies) and its statistics extension.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritonpm.core.errors import ServerError, UsageError
from tritonpm.triton.client import Client, plainly

_LIMIT = 32 << 20  # bytes of an answer
_PREFIX = "nv_inference_"
_QUANTILES = f"{_PREFIX}request_summary_us"  # only where the server was started with summary latencies


@dataclass(frozen=True, slots=True)
class Counters:
    """A version of a model: how often and how long (µs) since it was loaded.

    `pending` are requests that wait now; p50 and p99 are Triton's own, over about its last minute. None: not told.
    """

    model: str
    version: str
    requests: int = 0
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
class Told:
    """What a server said: of every model, by which source (metrics, statistics), and whether it tells percentiles."""

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


def scrape(address: str, *, timeout: float = 2.0) -> Told:
    """What the metrics endpoint at host:port says of every model. Raises ServerError."""
    return parse(_fetch(address, timeout), where=address)


def parse(text: str, *, where: str = "") -> Told:
    """What an answer of the endpoint says of every model. Raises ServerError where it is no such answer."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith(_PREFIX) and "model" in sample.labels:
                    key = sample.labels["model"], sample.labels.get("version", "")
                    _add(found.setdefault(key, {}), sample.name, sample.labels, sample.value)
    except ValueError as error:
        raise ServerError(f"the answer is none of Triton's metrics ({error})", where=where) from None
    # Triton goes on telling the failures of a model that was unloaded, and goes on counting them after the next load.
    counters = [Counters(*key, **fields, loaded="requests" in fields) for key, fields in found.items()]
    return Told(counters, "metrics", f"\n{_QUANTILES}{{" in text)


def statistics(client: Client) -> Told:
    """The same by the statistics extension, which knows neither what is pending nor percentiles. Raises ServerError."""
    form = {"as_json": True} if client.protocol == "grpc" else {}
    with plainly(client.where, "", ServerError):
        answer = client.raw.get_inference_statistics("", headers=client.headers, **form)
    return Told([_counted(entry) for entry in answer.get("model_stats", ())], "statistics", percentiles=False)


def _add(fields: dict[str, Any], series: str, labels: Mapping[str, str], value: float) -> None:
    if series == _QUANTILES:
        name = _PERCENTILES.get(labels.get("quantile", ""))
        if name and not math.isnan(value):  # not a number: no request in the last minute
            fields[name] = float(value)
    elif name := _SERIES.get(series.removeprefix(_PREFIX).removesuffix("_total")):  # the parser's own, of counters
        fields[name] = fields.get(name, 0) + int(value)


def _counted(entry: Mapping[str, Any]) -> Counters:
    """Statistics in nanoseconds; over gRPC numbers are text, and zeros are left out."""
    stats = entry.get("inference_stats", {})

    def of(key: str, what: str) -> int:
        return int(stats.get(key, {}).get(what, 0))

    compute = sum(of(f"compute_{part}", "ns") for part in ("input", "infer", "output"))
    return Counters(
        str(entry["name"]),
        str(entry.get("version", "")),
        of("success", "count"),
        of("fail", "count"),
        int(entry.get("inference_count", 0)),
        int(entry.get("execution_count", 0)),
        of("success", "ns") // 1000,
        of("queue", "ns") // 1000,
        compute // 1000,
    )


def endpoint(address: str) -> tuple[str, int]:
    """The host and port of HOST:PORT or http://HOST:PORT/metrics. Raises UsageError."""
    host, _, port = address.removeprefix("http://").partition("/")[0].rpartition(":")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        raise UsageError(f"{address!r} is no metrics endpoint", do="name it as HOST:PORT; Triton's own port is 8002")
    return host.strip("[]"), int(port)


def _fetch(address: str, timeout: float) -> str:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(*endpoint(address), timeout=timeout)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read(_LIMIT).decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise ServerError(f"no metrics are answered ({error})", where=address) from None
    finally:
        connection.close()
    if answer.status != 200:
        raise ServerError(f"no metrics are answered (HTTP {answer.status})", where=address)
    return text
