"""Performance mode proves itself: how many instances a package needs before more of them bring nothing.

1, 2, 4, … instances are served side by side by a Triton that nobody else uses, and get the same load in turn, window by
window: what else the machine does meets both alike, so that the ratio of their throughputs counts.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError, TritonpmError
from tritonpm.core.tensors import Array, as_served, guesses, load_npz
from tritonpm.operations.perf.bench import alone
from tritonpm.operations.probe import samples_of
from tritonpm.settings.settings import GROWTH

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Package
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

MOST = 16
WINDOW = 0.8  # seconds of load on each, in turn
WINDOWS = 5
_IN_FLIGHT = 2  # requests for each instance, so that none waits for a client


@dataclass(frozen=True)
class Trial:
    """One number of instances: inferences/s in each window, and the ratio to the number before (median of windows)."""

    instances: int
    throughput: float
    growth: float | None


def smallest(measure: Callable[[int, int], tuple[float, float, float]], most: int = MOST) -> tuple[int, list[Trial]]:
    """The smallest number of instances beyond which doubling them does not grow throughput by 5 %, and the trials.

    `measure(fewer, more)` gives both throughputs and their ratio.
    """
    count = 1
    trials: list[Trial] = []
    while count * 2 <= most:
        fewer, more, growth = measure(count, count * 2)
        if not trials:
            trials.append(Trial(1, fewer, None))
        trials.append(Trial(count * 2, more, growth))
        if growth < GROWTH:
            break
        count *= 2
    return count, trials


def measured(context: Context, name: str) -> tuple[int, list[Trial]]:
    """How many instances are worth it, on this machine. Raises ServerError where it cannot be served here."""
    from tritonpm.hardware import target

    record = context.catalogue.get(name)
    ensure(context, name)
    most = min(MOST, 2 * target().cores)
    with _server(context, record.package) as (client, publish):

        def measure(fewer: int, more: int) -> tuple[float, float, float]:
            with context.progress(f"Measuring {fewer} and {more} instances"):
                names = [publish(record, count) for count in (fewer, more)]
                inputs = _inputs(context, record, client, names[0])
                rates: list[list[float]] = [[], []]
                for _ in range(WINDOWS + 1):
                    for rate, model, count in zip(rates, names, (fewer, more), strict=True):
                        rate.append(load(client, model, inputs, count * _IN_FLIGHT, WINDOW))
                first, second = (rate[1:] for rate in rates)  # the first window warms up
                ratio = statistics.median(b / a for a, b in zip(first, second, strict=True))
                return statistics.median(first), statistics.median(second), ratio

        return smallest(measure, most)


@contextmanager
def _server(context: Context, package: Package) -> Iterator[tuple[Client, Callable[[Record, int], str]]]:
    """A Triton that nobody else uses, and what puts a package with so many instances on it, under a name of its own."""
    from tritonpm.repository.publish import publish
    from tritonpm.triton.client import Client

    with alone(context, package) as (folder, server), Client(server.grpc, protocol="grpc") as client:
        there: set[str] = set()

        def put(record: Record, count: int) -> str:
            name = f"{record.package.name}-{count}"
            if name not in there:
                revision = trial_revision(context, record, name, mode="performance", instances=count)
                publish(revision, folder / "models", folder / "staging", context.blobs.path)
                client.load_and_wait(name)
                there.add(name)
            return name

        yield client, put


def load(client: Client, model: str, inputs: Mapping[str, Array], in_flight: int, seconds: float) -> float:
    """Inferences/s with so many requests in flight for so long. Raises ServerError where one of them fails."""
    done: list[int] = []
    failures: list[TritonpmError] = []
    start = time.perf_counter()
    end = start + seconds

    def work() -> None:
        count = 0
        try:
            while time.perf_counter() < end:
                client.infer(model, inputs)
                count += 1
        except TritonpmError as error:
            failures.append(error)
        done.append(count)

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise ServerError(f"a request failed under load: {failures[0]}", where=model)
    return sum(done) * next((len(a) for a in inputs.values() if a.ndim), 1) / (time.perf_counter() - start)


def _inputs(context: Context, record: Record, client: Client, model: str) -> dict[str, Array]:
    """The package's sample, one row of it where that can be; else a made-up input. Raises ServerError."""
    signature = client.metadata(model)
    batched = bool(client.config(model).get("max_batch_size"))
    for sample in samples_of(record)[:1]:
        arrays = load_npz(context.blobs.path(record.package.file(sample.inputs).digest))
        axes = batch_axes(context, record.package)
        if all(axis.kind != "none" for axis in axes.values()):
            arrays = {name: array[:1] for name, array in arrays.items()}
        return as_served(arrays, signature.inputs)
    for inputs in guesses(signature.inputs, batch=1 if batched else None):
        try:
            client.infer(model, inputs)
            return inputs
        except TritonpmError:
            continue
    raise ServerError(f"{model} takes no made-up input", do="add a sample to the package, or give --instances N")
