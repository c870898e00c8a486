"""One run of perf_analyzer on one model: bounded in time, its answer as plain data.

`measure` is all that a search for settings needs: a model that is loaded, inputs and a load in, a `Measurement` out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError, UsageError
from tritonpm.core.scratch import temporary
from tritonpm.perf import process, regions
from tritonpm.perf.counters import counts, models_of, stage
from tritonpm.perf.energy import EnergyReading, spent
from tritonpm.perf.inputs import Inputs, Row, size, write
from tritonpm.perf.measurement import Latency, Measurement, Workload
from tritonpm.perf.process import IdleError

if TYPE_CHECKING:
    from tritonpm.perf.tool import Tool
    from tritonpm.triton.client import Client

_WINDOWS = 3  # of which perf_analyzer makes one result
_SHORTEST = 0.2  # seconds of a window
_LONGER = (1, 4, 16)  # times the window, where no request was answered within it
_ALWAYS_STABLE = 1_000_000  # percent: it would throw away what differs more, and we tell how far its windows are apart
_FEWEST = 4  # requests that a window must have time for
_PILOT = 0.2  # seconds of requests, one after the other, that tell how long one takes
_GRACE = 60.0  # seconds after which a run that should have ended is given up
_INPUTS, _TABLE = "inputs.json", "result.csv"
_PASS = re.compile(r"Pass \[\d+\] throughput: ([\d.]+) infer/sec")


def measure(
    tool: Tool,
    client: Client,
    model: str,
    inputs: Inputs,
    load: Workload,
    *,
    energy: Callable[[], EnergyReading] = lambda: EnergyReading({}, "not asked for"),
) -> Measurement:
    """Put a loaded model under a load for about `load.seconds`, with its inputs in turn.

    `client` is a connection to the server by the load's own protocol. Raises ServerError, InferenceError where it does
    not answer, UsageError where it does not batch, BusyError where somebody else uses the same shared memory.
    """
    if load.batch > 1 and inputs.batching == "none":
        raise UsageError(f"{model} takes one inference a request", do="measure it with batch size 1")
    latency, answer = _pilot(client, model, inputs.request(load.batch))
    entries = inputs.entries(load.batch)
    with temporary("perf") as folder, ExitStack() as around:
        write(folder / _INPUTS, entries)
        command = [*_command(tool, client, model, load, folder), "-b", str(inputs.counted(load.batch))]
        if load.shared_memory != "none":
            command += ["--shared-memory", load.shared_memory]
            command += ["--output-shared-memory-size", str(_largest(client, model, entries, inputs.batching))]
            around.enter_context(regions.held(client, regions.names(entries, answer)))
        window = _window(load, latency)
        for longer in _LONGER:
            with suppress(IdleError):  # a machine that stalls: the next window is longer
                measurement = _measured(tool, client, model, load, energy, command, folder, window * longer)
                return _scaled(measurement, load.batch // inputs.counted(load.batch))
        raise ServerError(
            f"no request was answered within {window * _LONGER[-1]:.1f} s", where=model, do="give it more --seconds"
        )


def _measured(
    tool: Tool, client: Client, model: str, load: Workload, energy: Callable[[], EnergyReading],
    command: list[str], place: Path, window: float,
) -> Measurement:  # fmt: skip
    """What perf_analyzer and the server's counters say of one run. Raises ServerError, IdleError."""
    interval = ["--measurement-interval", str(max(1, round(window * 1000)))]
    members = models_of(client.config(model))
    before, joules = {name: counts(client, name) for name in (model, *members)}, energy()
    began = time.perf_counter()
    output = process.run([*command, *interval], tool.environment, _WINDOWS * window * 2 + _GRACE, model)
    seconds, spent_joules = time.perf_counter() - began, energy()
    after = {name: counts(client, name) for name in (model, *members)}
    if after[model].fail.count > before[model].fail.count:
        raise ServerError("requests failed under load", where=model, do="see `tritonpm logs`")
    figures = process.table(place / _TABLE, output, model)
    return Measurement(
        load,
        _instances(client, members),
        float(figures["Inferences/Second"]),
        tuple(float(rate) for rate in _PASS.findall(output)),
        Latency(float(figures["Avg latency"]), *(float(figures[f"p{q} latency"]) for q in (50, 90, 95, 99))),
        tuple(stage(name, before[name], after[name]) for name in members),
        spent(joules, spent_joules, after[model].inferences - before[model].inferences),
        seconds,
    )


def _pilot(client: Client, model: str, inputs: Row) -> tuple[float, Row]:
    """(seconds that a request takes, its answer); it warms the model up, too. Raises InferenceError."""
    answer = client.infer(model, inputs)
    began, done = time.perf_counter(), 0
    while not done or time.perf_counter() - began < _PILOT:
        client.infer(model, inputs)
        done += 1
    return (time.perf_counter() - began) / done, answer


def _scaled(measurement: Measurement, factor: int) -> Measurement:
    """With `factor` inferences in what was counted as one."""
    return replace(
        measurement,
        throughput=measurement.throughput * factor,
        windows=tuple(rate * factor for rate in measurement.windows),
        stages=tuple(replace(times, batch=times.batch * factor) for times in measurement.stages),
        energy=replace(measurement.energy, inferences=measurement.energy.inferences * factor),
    )


def _largest(client: Client, model: str, entries: Sequence[Row], batching: str) -> int:
    """Bytes of the largest output that any of the entries has."""
    requests = (Inputs((entry,), batching).request(1) if batching == "triton" else entry for entry in entries)
    answers = (client.infer(model, request) for request in requests)
    return max((size(array) for answer in answers for array in answer.values()), default=1)


def _window(load: Workload, latency: float) -> float:
    """Seconds of one window: its share of the time, or as long as each request in flight needs to be answered once."""
    slowest = max(latency, 1 / load.rate) if load.rate else latency
    return max(_SHORTEST, load.seconds / _WINDOWS, slowest * max(_FEWEST, 0 if load.rate else load.concurrency))


def _command(tool: Tool, client: Client, model: str, load: Workload, place: Path) -> list[str]:
    command = [
        str(tool.binary), "-m", model, "-i", load.protocol, "-u", client.where,
        "--input-data", str(place / _INPUTS), "-f", str(place / _TABLE), "--verbose-csv", "-v",
        "--stability-percentage", str(_ALWAYS_STABLE), "--max-trials", str(_WINDOWS),
    ]  # fmt: skip
    if load.rate:
        command += ["--request-rate-range", f"{load.rate:g}"]
    else:
        command += ["--concurrency-range", str(load.concurrency)]
    return command


def _instances(client: Client, members: Sequence[str]) -> int:
    """How many instances the server runs of the model, or of the member that has most."""
    instances = []
    for name in members:
        groups = client.config(name).get("instance_group", ())
        instances.append(sum(int(group.get("count", 1)) * max(1, len(group.get("gpus", ()))) for group in groups))
    return max(instances)
