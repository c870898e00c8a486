"""What was measured, in words, for a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tritonpm.cli.output import echo, facts, table
from tritonpm.perf.figures import LoadFigures, figures
from tritonpm.perf.words import byte_words, disk_words, money, quality_words, share

if TYPE_CHECKING:
    from tritonpm.cli.app import App
    from tritonpm.perf.compare import Comparison
    from tritonpm.perf.measurement import Result

_BAR = 24  # characters of the longest bar
_NOISY = 0.25  # above this spread a person is warned


def emit(app: App, result: Result) -> None:
    """Print a result: everything for json and yaml, else the table, the chart and the figures."""
    of_result = figures(result)
    app.emit("PerfResult", {"result": result, "figures": of_result}, lambda: describe(result))
    if any(row.spread > _NOISY for row in of_result.rows):
        app.advise("The machine is noisy: windows differ (SPREAD); `tritonpm perf compare` still tells the difference.")


def describe(result: Result) -> None:
    """Print the table with its chart, and what goes for all of it."""
    five, most = figures(result), max((row.throughput for row in result.measurements), default=1.0)
    columns = ("BATCH", "INST.", "LOAD", "INFER/S", "", "SPREAD", "P50 MS", "P99 MS", "QUEUE", "COMPUTE", "OVERHEAD")
    extras: list[tuple[str, Callable[[LoadFigures], str]]] = []
    if five.price is not None:
        extras.append(("PER MILLION", lambda row: money(row.cost_per_million)))
    if any(row.inferences_per_joule for row in five.rows):
        extras.append(("INFER/J", lambda row: f"{row.inferences_per_joule or 0:.1f}"))
    extras.append(("MEMORY", lambda row: byte_words(row.memory)))
    rows = ((*_cells(row, most), *(cell(row) for _, cell in extras)) for row in five.rows)
    table((*columns, *(name for name, _ in extras)), rows)
    echo()
    facts(
        (
            ("storage", disk_words(five.storage.disk)),
            ("power", five.power),
            *(("quality", quality_words(quality)) for quality in five.quality),
            ("inputs", result.inputs),
            ("machine", f"{result.machine.cpu}, {result.machine.cores} cores"),
            *(("note", note) for note in result.notes),
            ("result", f"{result.number}, of revision {result.revision or 'none (not published)'}"),
        )
    )


def list_results(results: Sequence[Result]) -> None:
    """Print a line for each result."""
    columns = ("NUMBER", "PACKAGE", "REVISION", "MEASURED", "BEST INFER/S", "AT", "MACHINE")
    rows = []
    for result in results:
        best = max(result.measurements, key=lambda measurement: measurement.throughput)
        at = f"batch {best.load.batch}, {best.instances} inst., {best.load.words}"
        most, cpu = f"{best.throughput:,.0f}", result.machine.cpu
        rows.append((result.number, result.package, result.revision, result.measured, most, at, cpu))
    if rows:
        table(columns, rows)


def describe_comparison(comparison: Comparison) -> None:
    """Print the ratios."""
    columns = ("", comparison.a, comparison.b, "RATIO", "95 % SURE BETWEEN")
    rows = (
        (of.measure, f"{of.a:,.0f}", f"{of.b:,.0f}", f"{of.ratio:.3f}", f"{of.low:.3f} and {of.high:.3f}")
        for of in comparison.ratios
    )
    table(columns, rows)
    load = comparison.load
    echo(f"\n{comparison.pairs} pairs in alternation, {load.words}, batch {load.batch}; latencies in µs.")


def _cells(row: LoadFigures, most: float) -> tuple[object, ...]:
    bar = "█" * max(1, round(row.throughput / most * _BAR))
    return (
        row.batch, row.instances, row.load, f"{row.throughput:,.1f}", bar, share(row.spread),
        f"{row.p50 / 1000:.2f}", f"{row.p99 / 1000:.2f}", share(row.queue), share(row.compute), share(row.overhead),
    )  # fmt: skip
