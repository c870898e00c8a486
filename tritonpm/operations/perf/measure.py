"""The use cases of measuring: how fast a package is, what that costs, and whether it became slower."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from tritonpm.core.errors import NotFoundError, ServerError, UsageError
from tritonpm.hardware import target
from tritonpm.hardware.host import host
from tritonpm.operations.perf.bench import Bench, as_it_was, private
from tritonpm.operations.views import precision
from tritonpm.perf import tool
from tritonpm.perf.compare import FEWEST_PAIRS, Comparison, Verdict, comparison, in_alternation, judged
from tritonpm.perf.measurement import Load, Machine, Measurement, Quality, Result, Storage
from tritonpm.perf.store import Results

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Revision
    from tritonpm.operations.serving import Serving
    from tritonpm.operations.views import OptimisationView
    from tritonpm.triton.client import Client, Connection


@dataclass(frozen=True)
class Sweep:
    """What is tried: every load with every number of instances; () are the instances that the settings ask for."""

    loads: tuple[Load, ...]
    instances: tuple[int, ...] = ()
    price: float | None = None  # of the machine, per hour


def loads(
    concurrencies: tuple[int, ...], rates: tuple[float, ...], batches: tuple[int, ...], like: Load
) -> tuple[Load, ...]:
    """Every batch size with every concurrency, or with every rate where there are some; the rest as in `like`."""
    if rates:
        return tuple(replace(like, batch=batch, rate=rate) for batch, rate in product(batches, rates))
    return tuple(replace(like, batch=batch, concurrency=count) for batch, count in product(batches, concurrencies))


class Performance:
    """The measurements of a manager's workspace."""

    def __init__(self, serving: Serving) -> None:
        self.serving, self.context = serving, serving.manager
        self.results = Results(self.context.workspace.state / "perf")

    def measure(self, name: str, sweep: Sweep) -> Result:
        """Measure a package and keep the result: as it is served; with instances, or with no server, on one of our own.

        Raises NotFoundError, ServerError, InferenceError, RuleError, BusyError.
        """
        self.context.catalogue.get(name)
        serves = self.context.server is not None or self.serving.server is not None
        if sweep.instances and self.context.server is not None:
            raise UsageError("instances are tried on a server of our own", do="leave --server or --instances out")
        result = self._as_served(name, sweep) if serves and not sweep.instances else self._alone(name, sweep)
        return self.results.keep(result)

    def result(self, what: str) -> Result:
        """A result by its number, or a package's newest. Raises NotFoundError, StorageError."""
        if what.isdecimal():
            return self.results.get(int(what))
        found = self.results.all(what)
        if not found:
            raise NotFoundError(f"{what} was not measured yet", do=f"`tritonpm perf {what}`")
        return found[0]

    def compare(self, a: str, b: str, load: Load, pairs: int) -> Comparison:
        """Measure two packages or revisions (`NAME@3`) in alternation, on a server of our own.

        Raises NotFoundError, ServerError, InferenceError, RuleError, UsageError.
        """
        if pairs < FEWEST_PAIRS:
            raise UsageError(f"{pairs} pairs give no interval", do=f"ask for {FEWEST_PAIRS} at least")
        for name, number in map(named, (a, b)):
            if number is None:
                ensure(self.context, name)
        sides = [
            (as_it_was(self.context, *named(side)), f"{named(side)[0]}-{tag}") for tag, side in (("a", a), ("b", b))
        ]
        with private(self.context, *(record.package for record, _ in sides)) as bench:
            for record, model in sides:
                bench.put(record, model)
            (first, one), (second, two) = sides
            with self.context.progress(f"Measuring {a} and {b}") as report:
                found = in_alternation(
                    lambda: bench.measure(first, one, load), lambda: bench.measure(second, two, load), pairs, report
                )
        return comparison(a, b, load, found)

    def gate(self, baseline: str, name: str, load: Load, pairs: int, most: float) -> Verdict:
        """Whether a package is slower than a baseline by more than `most` (0.05 is 5 %)."""
        return judged(self.compare(baseline, name, load, pairs), most)

    # On the server that serves, and on our own

    def _as_served(self, name: str, sweep: Sweep) -> Result:
        revision = self.context.catalogue.revision(name)
        record = as_it_was(self.context, name, self.context.catalogue.get(name).revision)
        with self._bench(sweep) as bench:
            client = next(iter(bench.clients.values()))
            if revision is None or not client.ready(name):
                raise ServerError(f"{name} is not loaded", where=client.where, do=f"`tritonpm load {name}` first")
            found = list(self._measured(bench, record, name, sweep.loads))
            return self._result(bench, record, revision, found, sweep.price)

    def _alone(self, name: str, sweep: Sweep) -> Result:
        ensure(self.context, name)
        record, revision = self.context.catalogue.get(name), wanted_revision(self.context, name)
        found: list[Measurement] = []
        with private(self.context, record.package) as bench:
            for count in sweep.instances or (None,):
                bench.put(record, name, **({"mode": "performance", "instances": count} if count else {}))
                found += self._measured(bench, record, name, sweep.loads)
                if count != (sweep.instances or (None,))[-1]:
                    bench.take(record, name)
            return self._result(bench, record, revision, found, sweep.price)

    def _measured(self, bench: Bench, record: Record, model: str, wanted: tuple[Load, ...]) -> Iterator[Measurement]:
        for load in wanted:
            with self.context.progress(f"{model}: batch {load.batch}, {load.words}"):
                yield bench.measure(record, model, load)

    @contextmanager
    def _bench(self, sweep: Sweep) -> Iterator[Bench]:
        """Connections to the server that serves, by the protocols that the loads want."""
        found = tool.find()
        with ExitStack() as around:
            wanted = {load.protocol for load in sweep.loads}
            clients = {name: around.enter_context(self.serving.client(name)) for name in sorted(wanted)}
            for protocol, client in clients.items():
                _require_plain(self.context.server, client, protocol)
            yield Bench(self.context, found, clients, None if self.context.server else self.serving.server)

    def _result(
        self, bench: Bench, record: Record, revision: Revision, found: list[Measurement], price: float | None
    ) -> Result:
        """All that is kept; `number` is given when it is."""
        package, current = record.package, self.context.catalogue.revision(record.package.name)
        client = next(iter(bench.clients.values()))
        published = current is not None and current.digest == revision.digest
        settings = msgspec.json.decode(msgspec.json.encode(record.settings))
        return Result(
            0, datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
            package.name, package.version, package.digest, record.revision if published else None, revision.digest,
            machine(), {"perf_analyzer": bench.tool.version, "tritonserver": client.server_version()},
            settings, bench.inputs(record, client, package.name).source, tuple(found),
            self._storage(record, revision), self._quality(record), price,
        )  # fmt: skip

    def _storage(self, record: Record, revision: Revision) -> Storage:
        files = [file for model in revision.models for file in model.files]
        blobs = sum(self.context.blobs.path(file.blob).stat().st_size for file in files if file.blob)
        disk = blobs + sum(len(file.text.encode()) for file in files if file.text is not None)
        memories = self.context.catalogue.artefacts
        on_gpus = [memories.memory(revision.digest, gpu.name) for gpu in target().gpus if record.settings.on_gpu]
        return Storage(disk, max((size for size in on_gpus if size is not None), default=None))

    def _quality(self, record: Record) -> tuple[Quality, ...]:
        """What the proofs say, stage by stage."""
        views_of = {view.stage: view for view in stages(self.context, record)}
        return tuple(_quality(stage.name, record, views_of.get(stage.name)) for stage in record.package.stages)


def _quality(stage: str, record: Record, view: OptimisationView | None) -> Quality:
    if view is None or view.optimizer == "none":
        return Quality(stage, precision(record.package, record.settings), "original", "served as it came")
    proof = view.agreement
    scaled = max((output.scaled for output in proof.outputs), default=None)
    return Quality(stage, view.precision, view.state, view.reason, scaled, proof.top1, proof.boxes)


def machine() -> Machine:
    """This machine."""
    here = host()
    gpus = tuple(f"{gpu.name} ({gpu.compute_capability})" for gpu in here.gpus)
    memory = psutil.virtual_memory().total
    return Machine(here.cpu, target().cores, memory, gpus, f"{platform.system()} {platform.release()}")


def _require_plain(server: Connection | str | None, client: Client, protocol: str) -> None:
    """perf_analyzer takes headers on its command line, which everybody on the machine can read. Raises UsageError."""
    from tritonpm.triton.client import Connection, address

    connection = Connection.to(server)
    if connection is None:
        return
    if connection.headers or connection.tls or address(connection.url)[2]:
        raise UsageError(
            "perf_analyzer is not given secrets or certificates", where=connection.url,
            do="measure where the server can be reached without them",
        )  # fmt: skip
    if client.protocol != protocol:
        raise UsageError(
            f"that is not Triton's {protocol} address", where=connection.url,
            do=f"name its {protocol} address, or choose --protocol {client.protocol}",
        )  # fmt: skip


def named(spec: str) -> tuple[str, int | None]:
    """`NAME` or `NAME@3` as (name, revision). Raises UsageError."""
    name, at, number = spec.partition("@")
    if at and not number.isdecimal():
        raise UsageError(f"{spec!r} names no revision", do="write NAME@3")
    return name, int(number) if at else None


def write_report(path: Path, results: Sequence[Result]) -> None:
    """Write results as a page. Raises RequirementError without plotly, StorageError."""
    from tritonpm.perf.report import html

    write_page(path, html(results))


def write_page(path: Path, page: str) -> None:
    """Write a page. Raises StorageError."""
    from tritonpm.core.files import storage_error

    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise storage_error(error, path) from None
