"""Charts as SVG: lines over numbers, and stacked bars. Nothing is fetched or runs; the colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 860, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 44
_COLOURS = 8  # --line-0 to --line-7 of the page
_BAR = 26  # pixels of a bar with its gap


@dataclass(frozen=True)
class Series:
    """Points (x, y) with a text each; `joined` by a line, `dashed` where it is a second of its kind, or as `stars`."""

    name: str
    points: Sequence[tuple[float, float, str]]
    colour: int
    joined: bool = True
    dashed: bool = False
    stars: bool = False


def curves(title: str, across: str, up: str, series: Sequence[Series], limit: float | None = None) -> str:
    """Series over each other, both axes from 0; `limit` is a line across."""
    points = [point for one in series for point in one.points]
    most_x = _round_up(max((x for x, _, _ in points), default=1.0))
    most_y = _round_up(max([y for _, y, _ in points] + ([limit] if limit else []), default=1.0))

    def place(x: float, y: float) -> tuple[float, float]:
        wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return round(_LEFT + wide * x / most_x, 1), round(_TOP + high * (1 - y / most_y), 1)

    parts = [*_grid(most_x, most_y, place)]
    if limit is not None:
        (left, height), (right, _) = place(0, limit), place(most_x, limit)
        parts.append(f'<line class="limit" x1="{left}" y1="{height}" x2="{right}" y2="{height}"/>')
    for one in series:
        placed = [(*place(x, y), text) for x, y, text in one.points]
        if one.joined and len(placed) > 1:
            line = " ".join(f"{x},{y}" for x, y, _ in placed)
            parts.append(
                f'<polyline class="line c{one.colour % _COLOURS}{" dashed" if one.dashed else ""}" points="{line}"/>'
            )
        parts += [_mark(one, x, y, text) for x, y, text in placed]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>')
    turned = f'transform="translate(14 {_HEIGHT / 2}) rotate(-90)"'
    parts.append(f'<text class="axis" {turned} text-anchor="middle">{escape(up)}</text>')
    return _figure(title, _WIDTH, _HEIGHT, parts, [(one.name, one.colour, one.dashed) for one in series])


def stacked(title: str, across: str, labels: Sequence[str], parts: Sequence[tuple[str, Sequence[float]]]) -> str:
    """A bar for each label, made of the parts of it."""
    most = max((sum(values[index] for _, values in parts) for index in range(len(labels))), default=1.0) or 1.0
    left, height = 260, _BAR * len(labels) + 34
    drawn = []
    for index, label in enumerate(labels):
        top, at = index * _BAR + 4, float(left)
        drawn.append(f'<text class="tick" x="{left - 8}" y="{top + 14}" text-anchor="end">{escape(label)}</text>')
        for colour, (name, values) in enumerate(parts):
            wide = (_WIDTH - left - _RIGHT) * values[index] / most
            told = f"<title>{escape(name)}: {values[index]:.3g}</title>"
            where = f'x="{at:.1f}" y="{top}" width="{wide:.1f}" height="{_BAR - 8}"'
            drawn.append(f'<rect class="f{colour % _COLOURS}" {where}>{told}</rect>')
            at += wide
    end = f"{most:.3g}"
    drawn.append(
        f'<text class="axis" x="{_WIDTH - _RIGHT}" y="{height - 8}" text-anchor="end">{escape(across)}, to {end}</text>'
    )
    return _figure(title, _WIDTH, height, drawn, [(name, colour, False) for colour, (name, _) in enumerate(parts)])


def _grid(most_x: float, most_y: float, place: object) -> Iterator[str]:
    """Four lines each way, with their numbers."""
    assert callable(place)  # noqa: S101
    for step in range(5):
        x, bottom = place(most_x * step / 4, 0)
        left, y = place(0, most_y * step / 4)
        yield f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>'
        yield f'<line class="grid" x1="{left}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>'
        yield f'<text class="tick" x="{x}" y="{bottom + 16}" text-anchor="middle">{most_x * step / 4:,.4g}</text>'
        yield f'<text class="tick" x="{left - 6}" y="{y + 4}" text-anchor="end">{most_y * step / 4:,.4g}</text>'


def _mark(series: Series, x: float, y: float, text: str) -> str:
    told = f"<title>{escape(f'{series.name}: {text}')}</title>"
    if series.stars:
        return f'<text class="star f{series.colour % _COLOURS}" x="{x}" y="{y + 7}" text-anchor="middle">★{told}</text>'
    return f'<circle class="f{series.colour % _COLOURS}" cx="{x}" cy="{y}" r="4">{told}</circle>'


def _figure(title: str, width: int, height: int, parts: Sequence[str], legend: Sequence[tuple[str, int, bool]]) -> str:
    keys = "".join(
        f'<li><span class="key f{colour % _COLOURS}{" dashed" if dashed else ""}"></span>{escape(name)}</li>'
        for name, colour, dashed in legend
    )
    drawing = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}<ul class=legend>{keys}</ul></figure>"


def _round_up(value: float) -> float:
    """A number that a quarter of is easily read."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if value <= step * unit)
