"""Under which load candidates are compared: as named, else as the package is served now, else as is usual."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import TritonpmError
from tritonpm.operations.server import connect, own_server
from tritonpm.perf.measurement import Workload
from tritonpm.triton.statistics import Statistics, total

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

LOOK = 1.0  # seconds over which the running server's statistics are read
MANY = 32  # requests in flight, for a package whose requests Triton may join
AS_SERVED = "the load is the one that it serves now"
_MOST = 128  # requests in flight: each is a thread of ours


@dataclass(frozen=True)
class ComparisonRequest:
    """That an optimisation is compared, and under which load; what is None follows from how the package is served."""

    concurrency: int | None = None  # requests in flight
    batch: int | None = None  # rows of a request


@dataclass(frozen=True)
class Loads:
    """What is measured under, and in words where that is from; of `usual` ones those that take too long are skipped."""

    loads: tuple[Workload, ...]
    source: str
    usual: bool = False


def loads_for(context: Context, name: str, request: ComparisonRequest, *, joins: bool) -> Loads:
    """The loads to compare a package under; `joins` is whether Triton may join its requests."""
    few = 2 * context.target.cores
    if request.concurrency or request.batch:
        return Loads((Workload(request.concurrency or few, batch=request.batch or 1),), "the load was named")
    if served := _as_served(context, name):
        return Loads((served,), AS_SERVED)
    usual = (few, MANY) if joins and few < MANY else (few,)
    return Loads(
        tuple(Workload(concurrency) for concurrency in usual),
        "it has no traffic now, so the load was the default one",
        True,
    )


def between(before: Statistics, after: Statistics, seconds: float) -> Workload | None:
    """The load between two looks at a model, by Little's law; None where nobody asked.

    What requests spent on the server in all, by the time that passed, is how many were there at once on average.
    """
    answered = after.success.count - before.success.count
    if answered <= 0 or seconds <= 0:
        return None
    in_flight = (after.success.ns - before.success.ns) / 1e9 / seconds
    rows = (after.inferences - before.inferences) / answered
    return Workload(min(max(1, round(in_flight)), _MOST), batch=max(1, round(rows)))


def _as_served(context: Context, name: str) -> Workload | None:
    """What the workspace's own server is asked now; None where it is not loaded there, or nobody asks."""
    if own_server(context) is None:
        return None
    with suppress(TritonpmError), connect(context) as client, context.progress(f"Looking at the requests to {name}"):
        if not client.ready(name):
            return None
        first, started = total(name, client.statistics(name)), time.perf_counter()
        time.sleep(LOOK)
        return between(first, total(name, client.statistics(name)), time.perf_counter() - started)
    return None
