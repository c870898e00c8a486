"""What a request costs beside the model: the floor of a model.py, our backends, and the bare runtime, in one run.

    .venv/bin/python benchmarks/overhead.py [--seconds 1.5] [--rounds 3] [--only NAME]

For each model and each number of requests in flight perf_analyzer asks, round after round in turn,

- the floor: a model.py that answers at once, on the same server, with the same config and the same tensors,
- the limit: a backend in C++ (`limit.cc`) that answers at once by the fewest calls, on the server of the compiled ones,
- the Python-based backend, and the compiled one where this machine has it, each on a server of its own.

No backend, Triton's own included, is faster with one request in flight than the limit and the bare runtime one after
the other: "of the best" is against that. With several in flight it is near it, since batches may cost less.

Before that, what it costs that a model is there: how long one load takes, how long the others take in parallel, and the
memory of each (the server's and its stubs', shared pages shared out).

Medians of the rounds count. Processor time is that of the server and its stubs, per inference. "raw" is the runtime in
this process without any server, from as many threads as there are requests in flight.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.overhead_models import FLOOR, LIMIT, Case, cases, limit, small
from benchmarks.serving import machine
from tests.support import perf_analyzer
from tritonpm.core.units import MIB
from tritonpm.perf import tool
from tritonpm.perf.inputs import Inputs
from tritonpm.perf.measurement import Workload
from tritonpm.perf.run import measure
from tritonpm.triton import embedded
from tritonpm.triton.client import Client
from tritonpm.triton.compiled import KINDS, VARIABLE
from tritonpm.triton.installation import Installation

RESULTS = Path(__file__).parent / "results" / "overhead.md"
IN_FLIGHT = (1, 8)
TWINS = {"floor": (FLOOR, "python"), "limit": (LIMIT, "compiled")}  # their names, and whose server they are on


@dataclass(frozen=True)
class Figures:
    """Of one side of a row: inferences a second, milliseconds, processor time of one inference in µs."""

    rate: float
    p50: float = 0.0
    p99: float = 0.0
    cpu: float = 0.0

    @classmethod
    def median(cls, all_of_them: list[Figures]) -> Figures:
        """Each figure's median."""
        names = ("rate", "p50", "p99", "cpu")
        return cls(*(statistics.median(getattr(figures, name) for figures in all_of_them) for name in names))


class Served:
    """A running server with one kind of backend; "floor" is on the Python-based one's, "limit" on the compiled."""

    def __init__(
        self, root: Path, backends: str, stack: ExitStack, installation: Installation | None = None, name: str = ""
    ) -> None:
        repository, state = root / "repository", root / f"state-{name or backends}"
        os.environ[VARIABLE] = backends
        self.server = embedded.start(installation or embedded.find(), repository, state)
        stack.callback(embedded.stop, self.server, state)
        self.client = stack.enter_context(Client(self.server.grpc, protocol="grpc"))

    def figures(self, model: str, row: dict[str, Any], batch: int, in_flight: int, seconds: float) -> Figures:
        """One window of perf_analyzer."""
        before, spent = self._inferences(model), self._processor()
        load = Workload(concurrency=in_flight, batch=batch, seconds=seconds)
        measured = measure(tool.find(), self.client, model, Inputs((row,), "triton"), load)
        done = self._inferences(model) - before
        cpu = (self._processor() - spent) / done * 1e6
        return Figures(measured.throughput, measured.latency.p50 / 1000, measured.latency.p99 / 1000, cpu)

    def starting(self, names: list[str]) -> tuple[float, float, float]:
        """Seconds of one load, models a second in parallel, MiB a model; of small models, which stay loaded."""
        before, alone, taken = self._memory(), names[:5], []
        for name in alone:
            began = time.perf_counter()
            self.client.load_and_wait(name)
            taken.append(time.perf_counter() - began)
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.client.load_and_wait, names[5:]))
        rate = (len(names) - 5) / (time.perf_counter() - began)
        memory = (self._memory() - before) / len(names) / MIB
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.client.unload_and_wait, names))
        return statistics.median(taken), rate, memory

    def _memory(self) -> float:
        server = psutil.Process(self.server.pid)
        processes = (server, *server.children(recursive=True))
        return sum(process.memory_full_info().pss for process in processes)

    def _inferences(self, model: str) -> int:
        [counted] = self.client.statistics(model)
        return counted.inferences

    def _processor(self) -> float:
        """Seconds that the server and its stubs have run."""
        server, total = psutil.Process(self.server.pid), 0.0
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def raw(case: Case, in_flight: int, seconds: float) -> Figures:
    """The runtime without a server."""
    call = case.raw()

    def worker(ends: float) -> int:
        done = 0
        while time.perf_counter() < ends:
            call()
            done += case.batch
        return done

    call()
    started, spent = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(in_flight) as pool:
        done = sum(pool.map(worker, [started + seconds] * in_flight))
    passed = time.perf_counter() - started
    return Figures(done / passed, cpu=(time.process_time() - spent) / done * 1e6)


@contextmanager
def servers(root: Path) -> Iterator[dict[str, Served]]:
    """The servers by what they run."""
    with ExitStack() as stack:
        yield {kind: Served(root, kind, stack) for kind in KINDS}


def loaded(chosen: Iterable[Case], sides: Mapping[str, Served]) -> Iterator[tuple[Case, int]]:
    """Each case, once all sides have it loaded, with each number of requests in flight."""
    for case in chosen:
        for served in sides.values():
            served.client.load_and_wait(case.name)
        for in_flight in IN_FLIGHT:
            yield case, in_flight


def compare(case: Case, running: dict[str, Served], in_flight: int, seconds: float, rounds: int) -> dict[str, Figures]:
    """Every side of one row, in turn."""
    sides: dict[str, list[Figures]] = {side: [] for side in (*TWINS, *running, "raw")}
    for _ in range(rounds):
        for side, (prefix, kind) in TWINS.items():
            name = f"{prefix}{case.name}"
            sides[side].append(running[kind].figures(name, case.row, case.batch, in_flight, seconds))
        for kind, served in running.items():
            sides[kind].append(served.figures(case.name, case.row, case.batch, in_flight, seconds))
        sides["raw"].append(raw(case, in_flight, seconds / 2))
    return {side: Figures.median(figures) for side, figures in sides.items()}


def report(
    started: dict[str, tuple[float, float, float]],
    rows: dict[tuple[str, int, int], dict[str, Figures]],
    seconds: float,
    rounds: int,
) -> str:
    """The tables in Markdown."""
    lines = [
        "# What serving costs beside the model",
        "",
        f"{machine()}; {rounds} rounds of {seconds:g} s a side in turn, medians.",
        f"Load of the machine over its cores at the end: {os.getloadavg()[1] / len(os.sched_getaffinity(0)):.1f}.",
        "",
        "| Small models | One load, s | Loads a second, 8 at once | MiB a model |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {kind} | {one:.2f} | {rate:.1f} | {memory:.1f} |" for kind, (one, rate, memory) in started.items()),
        "",
        "Floor: a model.py that answers at once, on the server of the Python-based backend. Limit: a backend in C++",
        "that does, on that of the compiled. The best takes as long as the limit and the bare runtime together.",
        "",
        "| Model | Batch | In flight | Side | Inferences/s | Of floor | Of the best | Of raw | p50 ms | p99 ms | "
        "Processor µs |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (name, batch, in_flight), sides in rows.items():
        for side, of in sides.items():
            best = best_of(sides) if side in KINDS else 0.0
            against = [
                _ratio(of, sides["floor"].rate if side in KINDS else 0.0),
                _ratio(of, best),
                _ratio(of, sides["raw"].rate if side != "raw" else 0.0),
            ]
            times = [f"{value:.2f}" if value else "" for value in (of.p50, of.p99)]
            cells = [name, str(batch), str(in_flight), side, f"{of.rate:.0f}", *against, *times, f"{of.cpu:.0f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def best_of(sides: Mapping[str, Figures]) -> float:
    """Inferences a second of a backend that costs nothing: the server's and the runtime's times together."""
    return 1 / sum(1 / sides[side].rate for side in ("limit", "raw"))


def _ratio(of: Figures, to: float) -> str:
    return f"{of.rate / to:.2f}" if to else ""


def main() -> int:
    """Measure, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one window")
    parser.add_argument("--rounds", type=int, default=3, help="windows a side")
    parser.add_argument("--models", type=int, default=40, help="small models that are loaded")
    parser.add_argument("--only", default="", help="measure only models with this in their name")
    options = parser.parse_args()
    perf_analyzer.there()
    rows: dict[tuple[str, int, int], dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="tritonpm-overhead-") as folder:
        limit(Path(folder))
        chosen = [case for case in cases(Path(folder) / "repository") if options.only in case.name]
        names = small(Path(folder) / "repository", options.models)
        with servers(Path(folder)) as running:
            started = {kind: served.starting(names) for kind, served in running.items()} if names else {}
            for case, in_flight in loaded(chosen, running):
                for prefix, kind in TWINS.values():
                    running[kind].client.load_and_wait(f"{prefix}{case.name}")
                key = (case.title, case.batch, in_flight)
                rows[key] = compare(case, running, in_flight, options.seconds, options.rounds)
                rates = ", ".join(f"{side} {of.rate:.0f}" for side, of in rows[key].items())
                print(f"{case.title} (batch {case.batch}, {in_flight} in flight): {rates}", file=sys.stderr)
    text = report(started, rows, options.seconds, options.rounds)
    print(text)
    if not options.only:
        RESULTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
