"""The page of a search: the Pareto chart, latency over throughput, and every setting that was measured."""

from __future__ import annotations

from html import escape

from tritonpm.perf.charts import Series, curves
from tritonpm.perf.report import page, table
from tritonpm.perf.words import byte_words, share
from tritonpm.tune.pareto import MeasuredSettings, Tuned
from tritonpm.tune.words import milliseconds, recommendation

_COLUMNS = ("Settings", "Inferences/s", "In flight", "p50 ms", "p95 ms", "p99 ms", "Accuracy", "Memory", "Measured")


def html(tuned: Tuned) -> str:
    """One page, no network."""
    heading = f"<h1>{escape(tuned.package)}</h1><p>{escape(recommendation(tuned))}</p>"
    ended = f"<p>{escape(f'{tuned.measurements} measurements in {tuned.seconds:.0f} s; {tuned.ended}.')}</p>"
    refused = "".join(f"<li>{escape(sentence)}</li>" for sentence in tuned.refused)
    left_out = f"<h2>Left out</h2><ul>{refused}</ul>" if refused else ""
    rows = table(_COLUMNS, map(_cells, tuned.rows), tuned.rows.index(tuned.best) if tuned.best in tuned.rows else None)
    return page(f"{tuned.package}: tuning", [heading + _chart(tuned) + rows + ended + left_out])


def _chart(tuned: Tuned) -> str:
    ordered = sorted(tuned.rows, key=lambda row: row.throughput)
    groups = (
        (
            "none answers more and sooner",
            [row for row in ordered if row.pareto],
            2,
            True,
            False,
        ),
        ("others", [row for row in ordered if not row.pareto], 7, False, False),
        ("recommended", [tuned.best], 0, False, True),
    )
    series = [
        Series(name, list(map(_point, rows)), colour, joined=joined, stars=stars)
        for name, rows, colour, joined, stars in groups
    ]
    limit = None if tuned.max_p99 is None else tuned.max_p99 * 1000
    return curves("Throughput and latency", "inferences/s", "latency p99, ms", series, limit)


def _point(row: MeasuredSettings) -> tuple[float, float, str]:
    return row.throughput, row.p99 / 1000, f"{row.words}, {row.in_flight} in flight"


def _cells(row: MeasuredSettings) -> tuple[str, ...]:
    return (
        row.words, f"{row.throughput:,.1f}", str(row.in_flight), *map(milliseconds, (row.p50, row.p95, row.p99)),
        share(row.accuracy), byte_words(row.memory), str(row.measurements),
    )  # fmt: skip
