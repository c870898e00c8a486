"""The HTML report: latency over throughput, where the time goes, and the five figures; one file, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tritonpm.core.extras import needed
from tritonpm.perf.figures import LoadFigures, figures
from tritonpm.perf.words import byte_words, money, quality_words, share

if TYPE_CHECKING:
    from tritonpm.perf.measurement import Result

_STYLE = """body{font-family:system-ui,sans-serif;margin:2rem auto;max-width:80rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ddd}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"""
_COLUMNS = ("Batch", "Instances", "Load", "Inferences/s", "Spread", "p50 ms", "p99 ms", "Queue", "Compute", "Overhead",
            "Cost per million", "Inferences/J", "Memory")  # fmt: skip


def html(results: Sequence[Result]) -> str:
    """One page with every result. Raises RequirementError without plotly."""
    draw = plotting()
    parts = []
    for number, result in enumerate(results):
        charts = [_curves(draw, result), _shares(draw, result)]
        drawn = [embedded(chart, first=not number and not place) for place, chart in enumerate(charts)]
        parts.append(
            "\n".join([_heading(result), table(_COLUMNS, map(_cells, figures(result).rows)), *drawn, _facts(result)])
        )
    names = ", ".join(sorted({result.package for result in results}))
    return page(f"{names}: performance", parts)


def plotting() -> Any:
    """What draws charts. Raises RequirementError without plotly."""
    with needed("the report", "perf"):
        import plotly.graph_objects as draw
    return draw


def embedded(chart: Any, *, first: bool) -> str:
    """A chart as a part of a page, whose `first` one brings the code that draws."""
    import plotly.io

    return str(plotly.io.to_html(chart, full_html=False, include_plotlyjs=first))


def page(title: str, parts: Sequence[str]) -> str:
    """A page of its own."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"<hr>".join(parts)}</body></html>\n'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of figures."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td class=n>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _curves(draw: Any, result: Result) -> Any:
    """Latency over throughput, a curve for each batch size and number of instances."""
    chart = draw.Figure()
    rows = sorted(figures(result).rows, key=lambda row: (row.batch, row.instances))
    for (batch, instances), group in groupby(rows, key=lambda row: (row.batch, row.instances)):
        points = list(group)
        for name, dash in (("p50", "solid"), ("p99", "dot")):
            chart.add_scatter(
                x=[row.throughput for row in points], y=[getattr(row, name) / 1000 for row in points],
                text=[row.load for row in points], mode="lines+markers", line={"dash": dash},
                name=f"batch {batch}, {instances} inst., {name}",
            )  # fmt: skip
    axes = {"xaxis_title": "inferences/s", "yaxis_title": "latency, ms", "yaxis_rangemode": "tozero"}
    chart.update_layout(title="Latency and throughput", template="plotly_white", **axes)
    return chart


def _shares(draw: Any, result: Result) -> Any:
    """Where a request's time goes, in milliseconds: each model's queue and compute, and the rest."""
    measurements = result.measurements
    labels = [f"batch {m.load.batch}, {m.instances} inst., {m.load.words}" for m in measurements]
    chart = draw.Figure()
    for place, stage in enumerate(measurements[0].stages if measurements else ()):
        name = stage.model.removeprefix(f"{result.package}.") if len(measurements[0].stages) > 1 else ""
        queues = [m.stages[place].queue / 1000 for m in measurements]
        computes = [
            (m.stages[place].compute_input + m.stages[place].compute + m.stages[place].compute_output) / 1000
            for m in measurements
        ]
        chart.add_bar(x=labels, y=queues, name=f"queue {name}".strip())
        chart.add_bar(x=labels, y=computes, name=f"compute {name}".strip())
    chart.add_bar(x=labels, y=[m.overhead / 1000 for m in measurements], name="overhead: client, network, server")
    chart.update_layout(
        title="Where the time goes", barmode="stack", yaxis_title="mean latency, ms", template="plotly_white"
    )
    return chart


def _heading(result: Result) -> str:
    revision = f"revision {result.revision}" if result.revision else "not published"
    what = f"{result.package} {result.version}, {revision}"
    return f"<h1>{escape(what)}</h1><p>Result {result.number}, {escape(result.measured)}, {escape(result.inputs)}.</p>"


def _cells(row: LoadFigures) -> tuple[str, ...]:
    joule = f"{row.inferences_per_joule:,.1f}" if row.inferences_per_joule else "–"
    return (
        str(row.batch), str(row.instances), row.load, f"{row.throughput:,.1f}", share(row.spread),
        f"{row.p50 / 1000:.2f}", f"{row.p99 / 1000:.2f}", share(row.queue), share(row.compute), share(row.overhead),
        money(row.cost_per_million), joule, byte_words(row.memory),
    )  # fmt: skip


def _facts(result: Result) -> str:
    five, here = figures(result), result.machine
    gpus = ", ".join(here.gpus) or "no GPU"
    chosen = {name: value for name, value in result.settings.items() if value not in ((), [], {}, "", None)}
    pairs = [
        ("Storage", f"{byte_words(five.storage.disk)} on disk"),
        ("Power", five.power),
        *(("Quality", quality_words(quality)) for quality in five.quality),
        ("Machine", f"{here.cpu}, {here.cores} cores, {byte_words(here.memory)}, {gpus}, {here.system}"),
        ("Tools", ", ".join(f"{name} {version}" for name, version in result.tools.items())),
        ("Package", result.digest),
        ("Revision", result.revision_digest),
        ("Settings", ", ".join(f"{name}={value}" for name, value in chosen.items())),
    ]
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in pairs)
    return f"<table>{rows}</table>"
