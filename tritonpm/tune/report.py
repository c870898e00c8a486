"""The page of a search: the Pareto chart, latency over throughput, and every setting that was measured."""

from __future__ import annotations

from html import escape
from typing import Any

from tritonpm.perf.report import embedded, page, plotting, table
from tritonpm.perf.words import byte_words, share
from tritonpm.tune.pareto import MeasuredSettings, Tuned
from tritonpm.tune.words import milliseconds, recommendation

_COLUMNS = ("Settings", "Inferences/s", "In flight", "p50 ms", "p95 ms", "p99 ms", "Accuracy", "Memory", "Measured")


def html(tuned: Tuned) -> str:
    """One page, no network. Raises RequirementError without plotly."""
    chart = embedded(_chart(plotting(), tuned), first=True)
    heading = f"<h1>{escape(tuned.package)}</h1><p>{escape(recommendation(tuned))}</p>"
    ended = f"<p>{escape(f'{tuned.measurements} measurements in {tuned.seconds:.0f} s; {tuned.ended}.')}</p>"
    refused = "".join(f"<li>{escape(sentence)}</li>" for sentence in tuned.refused)
    left_out = f"<h2>Left out</h2><ul>{refused}</ul>" if refused else ""
    return page(
        f"{tuned.package}: tuning", [heading + chart + table(_COLUMNS, map(_cells, tuned.rows)) + ended + left_out]
    )


def _chart(draw: Any, tuned: Tuned) -> Any:
    chart = draw.Figure()
    ordered = sorted(tuned.rows, key=lambda row: row.throughput)
    groups = (
        ("not beaten in everything by another", "lines+markers", [row for row in ordered if row.pareto]),
        ("beaten", "markers", [row for row in ordered if not row.pareto]),
        ("recommended", "markers", [tuned.best]),
    )
    for name, mode, rows in groups:
        chart.add_scatter(
            x=[row.throughput for row in rows], y=[row.p99 / 1000 for row in rows], mode=mode, name=name,
            text=[f"{row.words}, {row.in_flight} in flight" for row in rows],
            marker={"size": 16, "symbol": "star"} if name == "recommended" else {"size": 9},
        )  # fmt: skip
    if tuned.max_p99 is not None:
        chart.add_hline(y=tuned.max_p99 * 1000, line_dash="dot", annotation_text="limit of p99")
    axes = {"xaxis_title": "inferences/s", "yaxis_title": "latency p99, ms", "yaxis_rangemode": "tozero"}
    chart.update_layout(title="Throughput and latency", template="plotly_white", **axes)
    return chart


def _cells(row: MeasuredSettings) -> tuple[str, ...]:
    return (
        row.words, f"{row.throughput:,.1f}", str(row.in_flight), *map(milliseconds, (row.p50, row.p95, row.p99)),
        share(row.accuracy), byte_words(row.memory), str(row.measurements),
    )  # fmt: skip
