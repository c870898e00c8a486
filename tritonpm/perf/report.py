"""The HTML report: latency over throughput, where the time goes, and the five figures; one file, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from tritonpm.perf.charts import Series, curves, stacked
from tritonpm.perf.figures import LoadFigures, figures
from tritonpm.perf.words import byte_words, disk_words, money, quality_words, share

if TYPE_CHECKING:
    from tritonpm.perf.measurement import Result

_STYLE = """:root{color-scheme:light dark;--ground:#fff;--ink:#18211d;--faint:#57635d;--line:#d5dbd8;--good:#dcf3e6;
--0:#1b6b50;--1:#c2410c;--2:#1d4ed8;--3:#9333ea;--4:#a16207;--5:#be123c;--6:#0e7490;--7:#4d5d57}
@media(prefers-color-scheme:dark){:root{--ground:#121715;--ink:#e6ece9;--faint:#a3b0aa;--line:#36423d;--good:#12382a;
--0:#52c39a;--1:#fb923c;--2:#7aa7ff;--3:#d08cff;--4:#facc15;--5:#fb7185;--6:#67e8f9;--7:#b7c4be}}
body{font-family:system-ui,sans-serif;margin:2rem auto;padding:0 1.5rem;max-width:84rem;
background:var(--ground);color:var(--ink)}
table{border-collapse:collapse;margin:1rem 0}.scroll{overflow-x:auto}
td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid var(--line)}
td.n:first-child{text-align:left !important}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
tr.chosen{background:var(--good);font-weight:600}
figure{margin:1.5rem 0}figcaption{font-weight:600}svg{width:100%;max-width:60rem;height:auto}
.grid{stroke:var(--line)}.limit{stroke:var(--faint);stroke-dasharray:2 4}.line{fill:none;stroke-width:2}
.line.dashed{stroke-dasharray:6 4}.tick,.axis{fill:var(--faint);font-size:12px}.star{font-size:22px}
.legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.9rem}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:3px;margin-right:.35rem}.key.dashed{opacity:.55}
""" + "".join(f".c{n}{{stroke:var(--{n})}}.f{n}{{fill:var(--{n});background:var(--{n})}}" for n in range(8))
_COLUMNS = ("Batch", "Instances", "Load", "Inferences/s", "Spread", "p50 ms", "p99 ms", "Queue", "Compute", "Overhead",
            "Cost per million", "Inferences/J", "Memory")  # fmt: skip


def html(results: Sequence[Result]) -> str:
    """One page with every result."""
    parts = [
        "\n".join(
            [
                _heading(result),
                table(_COLUMNS, map(_cells, figures(result).rows)),
                _curves(result),
                _shares(result),
                _facts(result),
            ]
        )
        for result in results
    ]
    names = ", ".join(sorted({result.package for result in results}))
    return page(f"{names}: performance", parts)


def page(title: str, parts: Sequence[str]) -> str:
    """A page of its own."""
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"{meta}<title>{escape(title)}</title><style>{_STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"<hr>".join(parts)}</body></html>\n'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], chosen: int | None = None) -> str:
    """A table of figures; the row `chosen`, from 0, is marked."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    cells = ("".join(f"<td class=n>{escape(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr{' class=chosen' if at == chosen else ''}>{row}</tr>" for at, row in enumerate(cells))
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"


def _table(result: Result) -> str:
    return table(_COLUMNS, map(_cells, figures(result).rows))


def _curves(result: Result) -> str:
    """Latency over throughput, a curve for each batch size and number of instances."""
    rows = sorted(figures(result).rows, key=lambda row: (row.batch, row.instances))
    series = []
    for colour, ((batch, instances), group) in enumerate(groupby(rows, key=lambda row: (row.batch, row.instances))):
        points = list(group)
        for name in ("p50", "p99"):
            told = [(row.throughput, getattr(row, name) / 1000, row.load) for row in points]
            series.append(Series(f"batch {batch}, {instances} inst., {name}", told, colour, dashed=name == "p99"))
    return curves("Latency and throughput", "inferences/s", "latency, ms", series)


def _shares(result: Result) -> str:
    """Where a request's time goes, in milliseconds: each model's queue and compute, and the rest."""
    measurements = result.measurements
    labels = [f"batch {m.load.batch}, {m.instances} inst., {m.load.words}" for m in measurements]
    parts = []
    for place, stage in enumerate(measurements[0].stages if measurements else ()):
        name = stage.model.removeprefix(f"{result.package}.") if len(measurements[0].stages) > 1 else ""
        stages = [m.stages[place] for m in measurements]
        computes = [(one.compute_input + one.compute + one.compute_output) / 1000 for one in stages]
        parts.append((f"queue {name}".strip(), [one.queue / 1000 for one in stages]))
        parts.append((f"compute {name}".strip(), computes))
    parts.append(("overhead: client, network, server", [m.overhead / 1000 for m in measurements]))
    return stacked("Where the time goes", "mean latency, ms", labels, parts)


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
        ("Storage", disk_words(five.storage.disk)),
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
