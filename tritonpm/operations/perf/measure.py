"""`tritonpm perf`: how fast a package is, what that costs, and whether it became slower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError, UsageError
from tritonpm.operations.history import as_it_was
from tritonpm.operations.in_place import inputs_of, is_in_place
from tritonpm.operations.load import serving_revision
from tritonpm.operations.optimize.jobs import ensure
from tritonpm.operations.perf.bench import Bench, private
from tritonpm.operations.perf.results import composed, composed_in_place, results_of
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.server import connect, has_server, own_server
from tritonpm.perf import tool
from tritonpm.perf.compare import FEWEST_PAIRS, Comparison, GateVerdict, comparison, in_alternation, judged
from tritonpm.perf.run import measure as measure_model

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.perf.measurement import Measurement, Result, Workload
    from tritonpm.triton.client import Client
    from tritonpm.triton.connection import Connection


@dataclass(frozen=True)
class Sweep:
    """What is tried: every load with every number of instances; () are the instances that the settings ask for."""

    loads: tuple[Workload, ...]
    instances: tuple[int, ...] = ()
    price: float | None = None  # of the machine, per hour


def loads(
    concurrencies: tuple[int, ...], rates: tuple[float, ...], batches: tuple[int, ...], like: Workload
) -> tuple[Workload, ...]:
    """Every batch size with every concurrency, or with every rate where there are some; the rest as in `like`."""
    if rates:
        return tuple(replace(like, batch=batch, rate=rate) for batch, rate in product(batches, rates))
    return tuple(replace(like, batch=batch, concurrency=count) for batch, count in product(batches, concurrencies))


def measure(context: Context, name: str, sweep: Sweep) -> Result:
    """Measure a package and keep the result: as it is served; with instances, or with no server, on one of our own.

    Raises NotFoundError, ServerError, InferenceError, RuleError, BusyError.
    """
    in_place = is_in_place(context, name)
    if not in_place:
        context.catalogue.get(name)
    if sweep.instances and context.server is not None:
        raise UsageError("instances are tried on a private server", do="leave --server or --instances out")
    if in_place:
        return results_of(context).keep(_in_place(context, name, sweep))
    measured = _as_served if has_server(context) and not sweep.instances else _alone
    return results_of(context).keep(measured(context, name, sweep))


def compare(context: Context, a: str, b: str, load: Workload, pairs: int) -> Comparison:
    """Measure two packages or revisions (`NAME@3`) in alternation, on a private server.

    Raises NotFoundError, ServerError, InferenceError, RuleError, UsageError.
    """
    if pairs < FEWEST_PAIRS:
        raise UsageError(f"{pairs} pairs give no interval", do=f"ask for {FEWEST_PAIRS} at least")
    sides = []
    for tag, (name, number) in (("a", named(a)), ("b", named(b))):
        if number is None:
            ensure(context, name)
        sides.append((as_it_was(context, name, number), f"{name}-{tag}"))
    with private(context, *(record.package for record, _ in sides)) as bench:
        for record, model in sides:
            bench.put(record, model)
        (first, one), (second, two) = sides
        with context.progress(f"Measuring {a} and {b}") as report:
            measurements = in_alternation(
                lambda: bench.measure(first, one, load), lambda: bench.measure(second, two, load), pairs, report
            )
    return comparison(a, b, load, measurements)


def gate(context: Context, baseline: str, name: str, load: Workload, pairs: int, most: float) -> GateVerdict:
    """Whether a package is slower than a baseline by more than `most` (0.05 is 5 %). Raises as `compare` does."""
    return judged(compare(context, baseline, name, load, pairs), most)


def named(spec: str) -> tuple[str, int | None]:
    """`NAME` or `NAME@3` as (name, revision). Raises UsageError."""
    name, at, number = spec.partition("@")
    if at and not number.isdecimal():
        raise UsageError(f"{spec!r} names no revision", do="write NAME@3")
    return name, int(number) if at else None


def _as_served(context: Context, name: str, sweep: Sweep) -> Result:
    """On the server that serves: of what it serves, which need not be what is wanted."""
    with _bench(context, sweep) as bench:
        client = next(iter(bench.clients.values()))
        revision = serving_revision(context, client, name)
        if revision is None:
            raise ServerError(f"{name} is not loaded", where=client.where, do=f"`tritonpm load {name}` first")
        record = as_it_was(context, name, _number_of(context, name, revision))
        measurements = tuple(_measured(context, bench, record, name, sweep.loads))
        return composed(bench, record, revision, record.revision, measurements, sweep.price)


def _in_place(context: Context, name: str, sweep: Sweep) -> Result:
    """A model of the server that was named, of which nothing is known here."""
    measurements = []
    with _bench(context, sweep) as bench:
        for load in sweep.loads:
            client = bench.clients[load.protocol]
            sent = inputs_of(client, name)
            with context.progress(f"{name}: batch {load.batch}, {load.words}"):
                measurements.append(measure_model(bench.tool, client, name, sent, load))
        return composed_in_place(bench, name, sent.source, tuple(measurements), sweep.price)


def _alone(context: Context, name: str, sweep: Sweep) -> Result:
    """On a private server: of what is wanted, with each number of instances."""
    ensure(context, name)
    record, revision = context.catalogue.get(name), wanted_revision(context, name)
    counts: tuple[int | None, ...] = sweep.instances or (None,)
    measurements: list[Measurement] = []
    with private(context, record.package) as bench:
        for place, count in enumerate(counts):
            if place:
                bench.take(record, name)
            bench.put(record, name, **({"mode": "performance", "instances": count} if count else {}))
            measurements += _measured(context, bench, record, name, sweep.loads)
        number = _number_of(context, name, revision)
        return composed(bench, record, revision, number, tuple(measurements), sweep.price)


def _number_of(context: Context, name: str, revision: Revision) -> int | None:
    """The number of a revision, None where it was not published."""
    kept = (kept for kept in context.catalogue.history(name) if kept.revision.digest == revision.digest)
    return next((published.number for published in kept), None)


def _measured(
    context: Context, bench: Bench, record: Record, model: str, wanted: tuple[Workload, ...]
) -> Iterator[Measurement]:
    for load in wanted:
        with context.progress(f"{model}: batch {load.batch}, {load.words}"):
            yield bench.measure(record, model, load)


@contextmanager
def _bench(context: Context, sweep: Sweep) -> Iterator[Bench]:
    """Connections to the server that serves, by the protocols that the loads want."""
    analyzer = tool.find()
    with ExitStack() as around:
        protocols = sorted({load.protocol for load in sweep.loads})
        clients = {protocol: around.enter_context(connect(context, protocol)) for protocol in protocols}
        for protocol, client in clients.items():
            _require_plain(context.server, client, protocol)
        yield Bench(context, analyzer, clients, own_server(context))


def _require_plain(server: Connection | str | None, client: Client, protocol: str) -> None:
    """perf_analyzer takes headers on its command line, which everybody on the machine can read. Raises UsageError."""
    from tritonpm.triton.connection import Connection, address

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
