"""The command that finds the best settings."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.amounts import ABOVE_0
from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import NAME
from tritonpm.cli.output import echo
from tritonpm.cli.setting_options import Words
from tritonpm.core.units import number_of
from tritonpm.settings.settings import PRECISIONS

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.tune.pareto import Tuned
    from tritonpm.tune.search import Standing
    from tritonpm.tune.space import Candidate

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BAR = 20  # characters of the longest bar
_OBJECTIVES = ("throughput", "latency", "cost")


class DurationType(click.ParamType[Any]):
    """A time such as 50ms, 90s or 5m."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(rf"(\d+(?:\.\d+)?)({'|'.join(_UNITS)})", str(value))
        if not match or not float(match[1]):
            self.fail(f"{value!r} is not a time such as 50ms, 90s or 5m", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


class Share(click.ParamType[Any]):
    """A share such as 99% or 0.99."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """From 0 to 1."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value))
        share = float(match[1]) / (100 if match[2] else 1) if match else 2.0
        if share > 1:
            self.fail(f"{value!r} is not a share such as 99% or 0.99", param, ctx)
        return share


class Precisions(Words):
    """A comma-separated list of precisions."""

    name = "P,P"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """In capitals."""
        precisions = tuple(word.upper() for word in super().convert(value, param, ctx))
        if unknown := set(precisions) - set(PRECISIONS):
            self.fail(f"{', '.join(sorted(unknown))} is none of {', '.join(PRECISIONS)}", param, ctx)
        return precisions


@command(
    "tune",
    examples="""
    tritonpm tune bolts
    tritonpm tune bolts --max-p99 50ms --min-accuracy 99% --budget 5m --html report.html
    tritonpm tune bolts --objective latency --precisions fp32 --apply
    tritonpm tune bolts --objective cost --price 0.9 -o json
    """,
)
@NAME
@click.option("--objective", type=click.Choice(_OBJECTIVES), default="throughput", show_default=True)
@click.option(
    "--max-p99", type=DurationType(), help="The latency that 99 out of 100 requests must stay below, e.g. 50ms."
)
@click.option("--min-accuracy", type=Share(), help="The least agreement with the original model, e.g. 99%.")
@click.option("--budget", type=DurationType(), default="5m", show_default=True, help="The most time that it may take.")
@click.option("--precisions", type=Precisions(), help="Which to try [default: fp32 and int8; fp16 too on GPUs].")
@click.option("--concurrency", type=click.IntRange(1), help="Requests in flight from your clients.")
@click.option(
    "-b", "--batch-size", "batch", type=click.IntRange(1), default=1, show_default=True, help="Rows per request."
)
@click.option("--protocol", type=click.Choice(("grpc", "http")), default="grpc", show_default=True)
@click.option("--price", type=ABOVE_0, metavar="PER_HOUR", help="The machine's price per hour.")
@click.option("--apply", is_flag=True, help="Switch to the best settings, live.")
@click.option("--again", is_flag=True, help="Measure again what has been measured already.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Also write an HTML report."
)
@on_a_server
@reading
@pass_app
def tune_command(
    app: App, /, name: str, budget: float, apply: bool, again: bool, html: Path | None, **wished: Any
) -> None:
    """Find the best settings on this machine: backend, precision, instances, threads, streams and batching.

    It measures on a private server. Results are kept: after an interruption it continues where it stopped.
    """
    from tritonpm.operations.tune.tune import Wish, tune

    wish = Wish(**{key: value for key, value in wished.items() if value is not None})
    with app.open() as context:
        with Shown(app) as shown:
            tuned = tune(context, name, wish, budget=budget, again=again, tell=shown)
        app.emit("TuneResult", tuned, lambda: describe(app, tuned))
        if wish.concurrency is None and tuned.best is not tuned.now and wish.objective != "latency":
            load = f"{number_of(tuned.best.in_flight, 'request')} in flight"
            app.advise(f"That is with {load}; if your clients send another number, give it with --concurrency N.")
        if html:
            _write(app, html, tuned)
        if apply:
            _apply(app, context, tuned)


class Shown(ExitStack):
    """Shows what is tried, and the best so far."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self.app, self.best = app, ""

    def __call__(self, candidate: Candidate, best: Standing | None) -> None:
        """A line for each new best; on a terminal also what is tried at the moment."""
        self.close()
        reached = f"{best.reading.throughput:,.1f} infer/s: {best.candidate.words}" if best else ""
        if best and best.candidate.words != self.best:
            self.best = best.candidate.words
            self.app.advise(f"Best so far {reached}")
        self.enter_context(self.app.progress(f"Trying {candidate.words}{f' (best {reached})' if reached else ''}"))


def describe(app: App, tuned: Tuned) -> None:
    """Print the Pareto front, why the search ended, and the recommendation."""
    from tritonpm.cli.output import table
    from tritonpm.perf.words import byte_words, share
    from tritonpm.tune.words import milliseconds, recommendation

    most = max(row.throughput for row in tuned.rows)
    shown = [row for row in tuned.rows if row.pareto or row in (tuned.best, tuned.now)]
    columns = ("", "INFER/S", "", "P50 MS", "P95 MS", "P99 MS", "IN FLIGHT", "COST", "ACCURACY", "MEMORY", "SETTINGS")
    rows = (
        (
            "*" if row is tuned.best else "", f"{row.throughput:,.1f}",
            "█" * max(1, round(row.throughput / most * _BAR)), *map(milliseconds, (row.p50, row.p95, row.p99)),
            row.in_flight, f"{row.cost:.3g}", share(row.accuracy), byte_words(row.memory), row.words,
        )
        for row in sorted(shown, key=lambda row: -row.throughput)
    )  # fmt: skip
    table(columns, rows)
    echo(f"\n{number_of(tuned.measurements, 'measurement')} in {tuned.seconds:.0f} s; {tuned.ended}.")
    for sentence in tuned.refused:
        app.advise(f"Left out: {sentence}")
    echo(f"{recommendation(tuned)}.")


def _apply(app: App, context: Context, tuned: Tuned) -> None:
    from tritonpm.cli.live_output import say_switched
    from tritonpm.operations.tune.tune import apply_tuned

    if tuned.best is tuned.now:
        app.advise("There is nothing to apply.")
    elif not tuned.best.meets:
        app.advise("Nothing is applied, since no settings stay within the limit.")
    else:
        say_switched(app, tuned.package, apply_tuned(context, tuned))


def _write(app: App, path: Path, tuned: Tuned) -> None:
    from tritonpm.operations.perf.results import write_page
    from tritonpm.tune.report import html

    write_page(path, html(tuned))
    app.advise(f"The report is in {path}.")
