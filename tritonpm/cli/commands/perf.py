"""Commands that measure: a package, two of them in alternation, a gate for a CI, and the results that are kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from tritonpm.cli.amounts import ABOVE_0
from tritonpm.cli.app import App, Group, command, on_a_server, pass_app, reading
from tritonpm.cli.options import NAME
from tritonpm.perf.measurement import SHARED_MEMORY

_GRPC_OR_HTTP = ("grpc", "http")
_MOST_STEPS = 1000


class NumberSeries(click.ParamType[tuple[float, ...]]):
    """`1,2,4` or START:END:STEP, both ends included."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers, each above 0."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = self._listed(value)
        except ValueError:
            self.fail(f"{value!r} is neither a list such as 1,2,4 nor a range such as 1:8:1", param, ctx)
        if not numbers or not all(0 < number < math.inf for number in numbers):
            self.fail(f"{value!r} gives no finite numbers above 0", param, ctx)
        return numbers

    def _listed(self, text: str) -> tuple[float, ...]:
        if ":" not in text:
            return tuple(self.kind(part) for part in text.split(","))
        start, end, step = (self.kind(part) for part in [*text.split(":"), "1"][:3])
        if step <= 0 or (end - start) / step > _MOST_STEPS or text.count(":") > 2:
            raise ValueError
        return tuple(start + i * step for i in range(int((end - start) / step) + 1))


class Measuring(Group):
    """`tritonpm perf NAME` is `tritonpm perf run NAME`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` first where no command is named."""
        bare = not {*self.commands}.intersection(args)
        if args and bare and (args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


def under_load(function: Any) -> Any:
    """Add the options that say how requests are sent."""
    options = (
        click.option("--protocol", type=click.Choice(_GRPC_OR_HTTP), default="grpc", show_default=True),
        click.option(
            "--shared-memory", type=click.Choice(SHARED_MEMORY), default="none", show_default=True,
            help="Pass tensors through shared memory instead of in messages.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def paired(function: Any) -> Any:
    """Add the options of a measurement in pairs."""
    options = (
        click.option("--concurrency", type=click.IntRange(1), default=2, show_default=True, help="Requests in flight."),
        click.option("-b", "--batch-size", "batch", type=click.IntRange(1), default=1, show_default=True),
        click.option("--pairs", type=click.IntRange(1), default=10, show_default=True, help="Pairs of measurements."),
        click.option("--seconds", type=ABOVE_0, default=1.5, show_default=True, help="Seconds per measurement."),
    )
    for option in reversed(options):
        function = option(function)
    return under_load(function)


@click.group(
    "perf",
    cls=Measuring,
    examples="""
    tritonpm perf install
    tritonpm perf bolts
    tritonpm perf bolts --concurrency 1:8:1 -b 1,4 --instances 1,2
    tritonpm perf compare bolts@3 bolts
    """,
)
def perf_command() -> None:
    """Measure with the real perf_analyzer: throughput, cost, storage, power and quality.

    `tritonpm perf NAME` measures a package; `tritonpm perf run --help` shows its options.
    """


@command(
    "run",
    examples="""
    tritonpm perf bolts
    tritonpm perf bolts --concurrency 1,2,4 --batch-size 1,8 --protocol http --shared-memory system
    tritonpm perf bolts --request-rate 50:200:50 --price 0.9 --html report.html
    tritonpm perf bolts --instances 1,2,4 -o json
    """,
)
@NAME
@click.option("--concurrency", type=NumberSeries(int), default="1,2,4", show_default=True, help="Requests in flight.")
@click.option("--request-rate", "rates", type=NumberSeries(float), help="Requests/s instead of requests in flight.")
@click.option("-b", "--batch-size", "batches", type=NumberSeries(int), default="1", show_default=True)
@click.option("--instances", type=NumberSeries(int), help="Numbers of instances to try, on a private server.")
@click.option("--seconds", type=ABOVE_0, default=5.0, show_default=True, help="Seconds of measuring per load.")
@click.option(
    "--price",
    type=ABOVE_0,
    metavar="PER_HOUR",
    help="The machine's price per hour, for the cost of a million inferences.",
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also write an HTML report."
)
@under_load
@on_a_server
@reading
@pass_app
def run_command(
    app: App, /, name: str, concurrency: tuple[int, ...], rates: tuple[float, ...] | None, batches: tuple[int, ...],
    instances: tuple[int, ...] | None, seconds: float, price: float | None, html: Path | None,
    protocol: str, shared_memory: str,
) -> None:  # fmt: skip
    """Measure a package as it is served; if no server runs, or to try instances, on a private server."""
    from tritonpm.cli.perf_output import emit
    from tritonpm.operations.perf.measure import Sweep, loads, measure
    from tritonpm.perf.measurement import Workload

    like = Workload(protocol=protocol, shared_memory=shared_memory, seconds=seconds)
    sweep = Sweep(loads(concurrency, rates or (), batches, like), instances or (), price)
    with app.open() as context:
        result = measure(context, name, sweep)
    emit(app, result)
    if html:
        _write(app, html, result)


@command(
    "compare", examples="tritonpm perf compare bolts@3 bolts\ntritonpm perf compare bolts screws --batch-size 4 -o json"
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@paired
@reading
@pass_app
def compare_command(app: App, /, a: str, b: str, pairs: int, **load: Any) -> None:
    """Measure two packages or revisions (NAME@3) in alternation, and report their ratio and how certain it is."""
    from tritonpm.cli.perf_output import describe_comparison
    from tritonpm.operations.perf.measure import compare
    from tritonpm.perf.measurement import Workload

    with app.open() as context:
        comparison = compare(context, a, b, Workload(**load), pairs)
    app.emit("PerfComparison", comparison, lambda: describe_comparison(comparison))


@command(
    "gate",
    examples="tritonpm perf gate bolts@3 --max-regression 5%\ntritonpm perf gate bolts-before bolts --strict -o json",
)
@click.argument("baseline", metavar="BASELINE")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--max-regression", default="5%", show_default=True, help="The loss of throughput that is allowed.")
@click.option("--strict", is_flag=True, help="Also fail if the noise is too large to tell.")
@paired
@reading
@pass_app
def gate_command(
    app: App, /, baseline: str, name: str | None, max_regression: str, strict: bool, pairs: int, **load: Any
) -> None:
    """Fail (exit code 1) if a package is clearly slower than a baseline: another package, or NAME@3."""
    from tritonpm.core.errors import TritonpmError
    from tritonpm.operations.perf.measure import gate, named
    from tritonpm.perf.compare import percentage
    from tritonpm.perf.measurement import Workload

    most = percentage(max_regression)
    with app.open() as context:
        verdict = gate(context, baseline, name or named(baseline)[0], Workload(**load), pairs, most)
    app.emit("PerfGate", verdict, lambda: app.say(f"{verdict.state.capitalize()}: {verdict.sentence}."))
    if verdict.state == "undecided":
        app.advise("More --pairs or --seconds give a clearer result.")
    if verdict.state == "failed" or (strict and verdict.state == "undecided"):
        raise TritonpmError(verdict.sentence, do="see `tritonpm perf compare`")


@command("list", examples="tritonpm perf list\ntritonpm perf list bolts -o json")
@click.argument("name", metavar="[NAME]", required=False)
@reading
@pass_app
def list_command(app: App, name: str | None) -> None:
    """List the stored results."""
    from tritonpm.cli.perf_output import list_results
    from tritonpm.operations.perf.results import results_of

    with app.open() as context:
        results = results_of(context).all(name)
    app.emit("PerfList", results, lambda: list_results(results))
    if not results:
        app.advise("No results yet; `tritonpm perf NAME` measures a package.")


@command(
    "report",
    examples="tritonpm perf report bolts\ntritonpm perf report 3 --html report.html\ntritonpm perf report 3 -o json",
)
@click.argument("what", metavar="NAME|NUMBER")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it as an HTML page."
)
@reading
@pass_app
def report_command(app: App, what: str, html: Path | None) -> None:
    """Show a stored result, or a package's newest one; with --html, as a page with charts."""
    from tritonpm.cli.perf_output import emit
    from tritonpm.operations.perf.results import result as result_of

    with app.open() as context:
        result = result_of(context, what)
    if html:
        _write(app, html, result)
    else:
        emit(app, result)


@command("install", examples="tritonpm perf install")
@pass_app
def install_command(app: App) -> None:
    """Get perf_analyzer from PyPI into this user's cache, checked against its digest."""
    from tritonpm.perf.tool import install

    with app.progress("Getting perf_analyzer"):
        tool = install()
    app.say(f"perf_analyzer {tool.version} is in {tool.binary.parent}.")


for subcommand in (run_command, compare_command, gate_command, list_command, report_command, install_command):
    perf_command.add_command(subcommand)


def _write(app: App, path: Path, result: Any) -> None:
    from tritonpm.operations.perf.results import write_report

    write_report(path, [result])
    app.advise(f"The report is in {path}.")
