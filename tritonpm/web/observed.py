"""Snapshots as columns of figures, which is what charts are drawn of. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonpm.operations.monitor.figures import gpu_parts
from tritonpm.operations.monitor.snapshot import Snapshot

MACHINE = ("cpu_percent", "memory_used")
GPU = ("utilisation", "memory_used", "temperature", "power", "clock_graphics", "clock_memory")
PACKAGE = ("requests_per_second", "p50_us", "p99_us")


@dataclass(frozen=True)
class FigureHistory:
    """Figures over time. `times` are seconds since the epoch, `numbers` the snapshots' own.

    `series`: "machine/FIGURE", "gpu/INDEX/FIGURE" or "package/NAME/FIGURE" → a value for each time, None where it is
    not known. The units are those of a snapshot.
    """

    numbers: tuple[int, ...]
    times: tuple[float, ...]
    series: Mapping[str, tuple[float | None, ...]]


def figure_history(snapshots: Sequence[Snapshot]) -> FigureHistory:
    """All of them, the oldest first."""
    rows = [dict(_figures(snapshot)) for snapshot in snapshots]
    names = dict.fromkeys(name for row in rows for name in row)
    return FigureHistory(
        tuple(snapshot.number for snapshot in snapshots),
        tuple(round(snapshot.time.timestamp(), 1) for snapshot in snapshots),
        {name: tuple(row.get(name) for row in rows) for name in names},
    )


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
