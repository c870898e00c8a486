"""Snapshots as columns of figures, which charts are drawn of: of the last minutes each, of an hour and a day means."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonpm.operations.monitor.figures import gpu_parts
from tritonpm.operations.monitor.snapshot import Snapshot
from tritonpm.operations.monitor.watch import INTERVAL, MINUTES
from tritonpm.web.marks import Mark

MACHINE = ("cpu_percent", "memory_used")
GPU = ("utilisation", "memory_used", "temperature", "power", "clock_graphics", "clock_memory")
PACKAGE = ("requests_per_second", "p50_us", "p99_us")
HOUR, DAY = 60, 24 * 60  # minutes
PERIODS = (int(MINUTES), HOUR, DAY)
_STEPS = {HOUR: 10.0, DAY: 120.0}  # seconds of one mean
_PACKAGES = 40  # of one mean: those with the most requests
_GAP = 2.5  # steps without a figure that are no line


@dataclass(frozen=True)
class FigureHistory:
    """Figures over time. `times` are seconds since the epoch, `numbers` the snapshots' own, of a mean its last one's.

    `series`: "machine/FIGURE", "gpu/INDEX/FIGURE" or "package/NAME/FIGURE" → a value for each time, None where it is
    not known: also at one moment in each gap. The units are those of a snapshot. `step` is the seconds that a value is
    the mean of, `marks` what happened.
    """

    numbers: tuple[int, ...]
    times: tuple[float, ...]
    series: Mapping[str, tuple[float | None, ...]]
    step: float = INTERVAL
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class _Row:
    """The figures of one moment."""

    number: int
    time: float
    figures: Mapping[str, float | None]


def figure_history(snapshots: Sequence[Snapshot], marks: tuple[Mark, ...] = ()) -> FigureHistory:
    """All of them, the oldest first."""
    return _columns(map(_row, snapshots), INTERVAL, marks)


class FigureArchive:
    """The means of the last hour and of the last day: of so many packages, in so many steps, so that it stays small."""

    def __init__(self) -> None:
        self._kept = {period: deque[_Row](maxlen=round(60 * period / step)) for period, step in _STEPS.items()}
        self._open: dict[int, list[_Row]] = {period: [] for period in _STEPS}

    def add(self, snapshot: Snapshot) -> None:
        """Count a snapshot in; they come one after the other."""
        row = _row(snapshot)
        for period, step in _STEPS.items():
            rows = self._open[period]
            if rows and row.time // step != rows[0].time // step:
                self._kept[period].append(_mean(rows))
                rows.clear()
            rows.append(row)

    def history(self, period: int, marks: tuple[Mark, ...] = ()) -> FigureHistory:
        """Of the last `period` minutes, one of PERIODS but the first."""
        rows = [*self._kept[period], *([_mean(self._open[period])] if self._open[period] else [])]
        recent = [row for row in rows if row.time > rows[-1].time - 60 * period]
        return _columns(recent, _STEPS[period], marks)


def _row(snapshot: Snapshot) -> _Row:
    return _Row(snapshot.number, round(snapshot.time.timestamp(), 1), dict(_figures(snapshot)))


def _mean(rows: Sequence[_Row]) -> _Row:
    """Of the figures that are known, without the packages that were asked least."""
    sums: dict[str, tuple[float, int]] = {}
    for row in rows:
        for name, value in row.figures.items():
            if value is not None:
                total, count = sums.get(name, (0.0, 0))
                sums[name] = total + value, count + 1
    means = {name: total / count for name, (total, count) in sums.items()}
    asked = {name.split("/")[1]: value for name, value in means.items() if name.endswith(f"/{PACKAGE[0]}")}
    left_out = set(sorted(asked, key=lambda name: -asked[name])[_PACKAGES:])
    few = {name: value for name, value in means.items() if name.split("/")[1] not in left_out}
    return _Row(rows[-1].number, rows[len(rows) // 2].time, few)


def _columns(rows: Iterable[_Row], step: float, marks: tuple[Mark, ...]) -> FigureHistory:
    whole = list(_with_gaps(rows, step))
    names = dict.fromkeys(name for row in whole for name in row.figures)
    return FigureHistory(
        tuple(row.number for row in whole),
        tuple(row.time for row in whole),
        {name: tuple(row.figures.get(name) for row in whole) for name in names},
        step,
        marks,
    )


def _with_gaps(rows: Iterable[_Row], step: float) -> Iterator[_Row]:
    """A moment without figures where nothing was measured for a while: a line would say that it was."""
    before: _Row | None = None
    for row in rows:
        if before is not None and row.time - before.time > _GAP * step:
            yield _Row(before.number, round(before.time + step, 1), {})
        yield row
        before = row


def _figures(snapshot: Snapshot) -> Iterator[tuple[str, float | None]]:
    for figure in MACHINE:
        yield f"machine/{figure}", getattr(snapshot.machine, figure)
    for index, part in gpu_parts(snapshot.gpus):
        for figure in GPU:
            if (value := getattr(part, figure, None)) is not None:
                yield f"gpu/{index}/{figure}", value
    for package in snapshot.packages:
        for figure in PACKAGE:
            yield f"package/{package.name}/{figure}", getattr(package.rates, figure)
