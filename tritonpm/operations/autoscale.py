"""`tritonpm set --instances auto`: how many instances a package needs before more of them bring nothing.

1, 2, 4, … instances are served side by side by a Triton that nobody else uses, and get the same load in turn, window by
window: what else the machine does meets both alike, so that the ratio of their throughputs counts. Only what was
measured is said; who asked makes the one change.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tritonpm.operations.chosen_settings import chosen_settings
from tritonpm.operations.context import unheard
from tritonpm.operations.local_repository import require_idle
from tritonpm.operations.optimize.make import make
from tritonpm.operations.private_server import alone, place
from tritonpm.operations.render import trial_revision
from tritonpm.operations.sample_inputs import measuring_inputs
from tritonpm.perf.closed_loop import throughput
from tritonpm.settings.settings import GROWTH

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.tensors import Array
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

MOST = 16
WINDOW = 0.8  # seconds of load on each, in turn
WINDOWS = 5
_IN_FLIGHT = 2  # requests for each instance, so that none waits for a client


@dataclass(frozen=True)
class InstanceTrial:
    """One number of instances: requests/s in each window, and the ratio to the number before (median of windows)."""

    instances: int
    throughput: float
    growth: float | None


def instances_that_pay(
    context: Context,
    name: str,
    changes: Mapping[str, object],
    *,
    stage: str | None = None,
    unset: Sequence[str] = (),
) -> tuple[dict[str, object], list[InstanceTrial]]:
    """The changes with as many instances as are worth it on this machine, and what was tried; nothing is stored.

    `changes` and `unset` are what is wanted beside: of the package, or of one `stage`, whose instances are measured.
    Raises RuleError, OptimisationError; ServerError, InferenceError where it cannot be served or measured here.
    """
    require_idle(context, name)
    record = context.catalogue.get(name)
    candidate = _with_instances(context, record, changes, None, stage, unset)
    with context.progress(f"Optimising {name}"):
        make(context, candidate)
    with _served(context, candidate, stage) as (client, load):

        def measure(fewer: int, more: int) -> tuple[float, float, float]:
            with context.progress(f"Measuring {fewer} and {more} instances"):
                models = [load(count) for count in (fewer, more)]
                inputs = measuring_inputs(context, candidate, client, models[0]).request(1)
                return _side_by_side(client, models, inputs, (fewer, more))

        count, trials = smallest(measure, min(MOST, 2 * context.target.cores))
    return {**changes, **_instances(count)}, trials


def smallest(
    measure: Callable[[int, int], tuple[float, float, float]], most: int = MOST
) -> tuple[int, list[InstanceTrial]]:
    """The smallest number of instances beyond which doubling them does not grow throughput by 5 %, and the trials.

    `measure(fewer, more)` gives both throughputs and their ratio.
    """
    count = 1
    trials: list[InstanceTrial] = []
    while count * 2 <= most:
        fewer, more, growth = measure(count, count * 2)
        if not trials:
            trials.append(InstanceTrial(1, fewer, None))
        trials.append(InstanceTrial(count * 2, more, growth))
        if growth < GROWTH:
            break
        count *= 2
    return count, trials


def _instances(count: int | None) -> dict[str, object]:
    return {"mode": "performance", "instances": count}


def _with_instances(
    context: Context,
    record: Record,
    changes: Mapping[str, object],
    count: int | None,
    stage: str | None,
    unset: Sequence[str] = (),
) -> Record:
    """The package as it would be with so many instances; None is our default.

    What goes with the change is told when it is made, not while it is tried.
    """
    silent = replace(context, warn=unheard)
    settings = chosen_settings(silent, record, {**changes, **_instances(count)}, stage=stage, unset=unset)
    return replace(record, settings=settings)


@contextmanager
def _served(context: Context, candidate: Record, stage: str | None) -> Iterator[tuple[Client, Callable[[int], str]]]:
    """A Triton that nobody else uses, and what loads the package with so many instances on it; the model's name."""
    from tritonpm.triton.client import Client

    with alone(context, candidate.package) as (folder, server), Client(server.grpc, protocol="grpc") as client:
        loaded: set[str] = set()

        def load(count: int) -> str:
            name = f"{candidate.package.name}-{count}"
            if name not in loaded:
                revision = trial_revision(context, _with_instances(context, candidate, {}, count, stage), name)
                place(context, client, folder, revision)
                loaded.add(name)
            return name

        yield client, load


def _side_by_side(
    client: Client, models: list[str], inputs: Mapping[str, Array], counts: tuple[int, int]
) -> tuple[float, float, float]:
    """Both throughputs under load in turn, window by window, and the median of their ratios. Raises ServerError."""
    rates: list[list[float]] = [[], []]
    for _ in range(WINDOWS + 1):
        for rate, model, count in zip(rates, models, counts, strict=True):
            rate.append(throughput(client, model, inputs, count * _IN_FLIGHT, WINDOW))
    first, second = (rate[1:] for rate in rates)  # the first window warms up
    ratio = statistics.median(b / a for a, b in zip(first, second, strict=True))
    return statistics.median(first), statistics.median(second), ratio
