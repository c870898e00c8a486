"""One run of perf_analyzer on one model: bounded in time, ended on Ctrl-C, its answer as plain data.

`measure` is all that a search for settings needs: a model that is loaded, inputs and a load in, a `Measurement` out.
"""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.errors import BusyError, NotFoundError, ServerError, UsageError
from tritonpm.perf.counters import counts, models_of, stage
from tritonpm.perf.energy import Reading, spent
from tritonpm.perf.inputs import Row, size, together, write
from tritonpm.perf.measurement import Latency, Load, Measurement
from tritonpm.triton.client import plainly

if TYPE_CHECKING:
    from tritonpm.perf.tool import Tool
    from tritonpm.triton.client import Client

_WINDOWS = 3  # of which perf_analyzer makes one result
_ALWAYS_STABLE = 1_000_000  # percent: it would throw away what differs more, and we tell how far its windows are apart
_FEWEST = 4  # requests that a window must have time for
_PILOT = 0.3  # seconds of requests, one after the other, that tell how long one takes
_GRACE = 60.0  # seconds after which a run that should have ended is given up
_DRAIN = 5.0  # seconds that an interrupted perf_analyzer has to clean up after itself
_REGIONS = Path("/dev/shm")  # noqa: S108
_LOG = re.compile(r"[IWE]\d{4} ")  # a line of gRPC's own log
_PASS = re.compile(r"Pass \[\d+\] throughput: ([\d.]+) infer/sec")


def measure(
    tool: Tool,
    client: Client,
    model: str,
    rows: Sequence[Row],
    load: Load,
    *,
    energy: Callable[[], Reading] = lambda: Reading({}, "not asked for"),
) -> Measurement:
    """Put a loaded model under a load for about `load.seconds`, with `rows` as its inputs in turn.

    `client` is a connection to the server by the load's own protocol. Raises ServerError, InferenceError where it does
    not answer, UsageError where it does not batch, BusyError where somebody else uses the same shared memory.
    """
    config = client.config(model)
    batched = bool(config.get("max_batch_size"))
    if load.batch > 1 and not batched:
        raise UsageError(f"{model} takes one inference a request", do="measure it with batch size 1")
    latency, answer = _pilot(client, model, together(rows, load.batch, batched=batched))
    with tempfile.TemporaryDirectory(prefix="tritonpm-perf-") as folder, ExitStack() as around:
        place = Path(folder)
        write(place / "inputs.json", rows)
        window = _window(load, latency)
        command = _command(tool, client, model, load, place, window)
        if load.shared_memory != "none":
            command += ["--shared-memory", load.shared_memory]
            command += ["--output-shared-memory-size", str(_largest(client, model, rows, batched=batched))]
            around.enter_context(_regions(client, [*_input_regions(rows), *answer]))
        members = models_of(config)
        before, joules = {name: counts(client, name) for name in (model, *members)}, energy()
        began = time.perf_counter()
        said = _run(command, tool.environment, _WINDOWS * window * 2 + _GRACE, model)
        seconds, spent_joules = time.perf_counter() - began, energy()
        after = {name: counts(client, name) for name in (model, *members)}
        figures = _figures(place / "result.csv", said, model)
    if after[model].failures > before[model].failures:
        raise ServerError("requests failed under load", where=model, do="see `tritonpm logs`")
    return Measurement(
        load,
        _instances(client, members),
        float(figures["Inferences/Second"]),
        tuple(float(rate) for rate in _PASS.findall(said)),
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


def _largest(client: Client, model: str, rows: Sequence[Row], *, batched: bool) -> int:
    """Bytes of the largest output that any of the rows has."""
    answers = (client.infer(model, together([row], 1, batched=batched)) for row in rows)
    return max((size(array) for answer in answers for array in answer.values()), default=1)


def _window(load: Load, latency: float) -> float:
    """Seconds of one window: its share of the time, or as long as each request in flight needs to be answered once."""
    slowest = max(latency, 1 / load.rate) if load.rate else latency
    return max(load.seconds / _WINDOWS, slowest * max(_FEWEST, 0 if load.rate else load.concurrency))


def _command(tool: Tool, client: Client, model: str, load: Load, place: Path, window: float) -> list[str]:
    command = [
        str(tool.binary), "-m", model, "-i", load.protocol, "-u", client.where, "-b", str(load.batch),
        "--input-data", str(place / "inputs.json"), "-f", str(place / "result.csv"), "--verbose-csv", "-v",
        "--measurement-interval", str(max(1, round(window * 1000))),
        "--stability-percentage", str(_ALWAYS_STABLE), "--max-trials", str(_WINDOWS),
    ]  # fmt: skip
    if load.rate:
        command += ["--request-rate-range", f"{load.rate:g}"]
    else:
        command += ["--concurrency-range", str(load.concurrency)]
    for name, value in client.headers.items():
        command += ["-H", f"{name}:{value}"]
    return command


def _run(command: list[str], environment: dict[str, str], timeout: float, model: str) -> str:
    """What perf_analyzer says; it ends with us. Raises ServerError where it fails or does not end.

    No `preexec_fn`: with one Python forks, and gRPC's threads of our own clients then abort some of the children.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            said = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            _end(process)
            raise ServerError(f"perf_analyzer gave no result within {timeout:.0f} s", where=model) from None
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        raise ServerError(f"perf_analyzer failed: {_reason(said, process.returncode)}", where=model)
    return said


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt, which lets it take its regions back; kill at the deadline."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_DRAIN)
        return
    process.kill()


def _reason(said: str, code: int) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _LOG.match(line)]
    told = [line for line in lines if re.search(r"error|fail|unable|not |must|cannot", line, re.IGNORECASE)]
    return (told or lines or [f"it ended with code {code} and said nothing"])[-1].rstrip(".")


def _figures(path: Path, said: str, model: str) -> dict[str, str]:
    """The one row of perf_analyzer's table. Raises ServerError where it wrote none."""
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table):
                return row
    raise ServerError(f"perf_analyzer wrote no result: {_reason(said, 0)}", where=model)


def _instances(client: Client, members: Sequence[str]) -> int:
    """How many instances the server runs of the model, or of the member that has most."""
    found = []
    for name in members:
        groups = client.config(name).get("instance_group", ())
        found.append(sum(int(group.get("count", 1)) * max(1, len(group.get("gpus", ()))) for group in groups))
    return max(found)


def _input_regions(rows: Sequence[Row]) -> list[str]:
    return [f"{name}_0_{step}" for step, row in enumerate(rows) for name in row]


@contextmanager
def _regions(client: Client, names: Sequence[str]) -> Iterator[None]:
    """While the block runs the regions are perf_analyzer's alone: it names them for the tensors, machine-wide.

    Raises BusyError where somebody has one of that name. What a killed run left is taken back.
    """
    from filelock import FileLock, Timeout

    from tritonpm.perf.tool import shared

    try:
        with FileLock(shared() / "shared-memory.lock", timeout=_GRACE):
            if taken := [name for name in names if (_REGIONS / name).exists()]:
                raise BusyError(
                    f"somebody uses the shared memory region {taken[0]!r}", where=client.where,
                    do="wait until they are done, or measure without shared memory",
                )  # fmt: skip
            try:
                yield
            finally:
                _take_back(client, names)
    except Timeout:
        raise BusyError("another measurement uses shared memory", do="wait until it is done") from None


def _take_back(client: Client, names: Sequence[str]) -> None:
    left = [name for name in names if (_REGIONS / name).exists() and (_REGIONS / name).stat().st_uid == os.getuid()]
    for name in left:
        # It may not be registered, and the server may be gone.
        with suppress(ServerError, NotFoundError), plainly(client.where, name, ServerError):
            client.raw.unregister_system_shared_memory(name)
        (_REGIONS / name).unlink(missing_ok=True)
