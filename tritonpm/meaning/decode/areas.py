"""Connected areas of a picture of yes and no, and the smallest rectangle around one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tritonpm.core.tensors import Array


def areas(mask: Array) -> Iterator[tuple[Array, Array]]:
    """The rows and columns of each area; pixels that touch at a corner are of one."""
    runs = _runs(mask)
    parents = list(range(len(runs)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    above: list[int] = []
    here: list[int] = []
    for index, (row, start, end) in enumerate(runs):
        if here and runs[here[0]][0] != row:
            above, here = (here if runs[here[0]][0] == row - 1 else []), []
        here.append(index)
        for other in above:
            if runs[other][1] <= end and runs[other][2] >= start:  # ends are exclusive: they may touch at a corner
                parents[root(index)] = root(other)
    groups: dict[int, list[tuple[int, int, int]]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(root(index), []).append(run)
    for group in groups.values():
        rows = np.concatenate([np.full(end - start, row) for row, start, end in group])
        yield rows, np.concatenate([np.arange(start, end) for _, start, end in group])


def _runs(mask: Array) -> list[tuple[int, int, int]]:
    """(row, first column, one past the last) of each run, row by row."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [(int(row), int(start), int(end)) for (row, start), (_, end) in zip(starts, ends, strict=True)]


def smallest_rectangle(rows: Array, columns: Array) -> tuple[Array, tuple[float, float]]:
    """Corners [4, 2] (x, y) of the smallest rectangle around pixels, clockwise from the upper left, and its sides."""
    extremes = [(columns[rows == row].min(), columns[rows == row].max(), row) for row in np.unique(rows)]
    points = np.array([(x + dx, row + dy) for low, high, row in extremes
                       for x, dx in ((low, 0), (high, 1)) for dy in (0, 1)], np.float64)  # fmt: skip
    hull = _hull(points)
    best: tuple[float, Array, tuple[float, float]] | None = None
    for one, other in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        direction = (other - one) / np.linalg.norm(other - one)
        axes = np.array([direction, [-direction[1], direction[0]]])
        turned = hull @ axes.T
        low, high = turned.min(axis=0), turned.max(axis=0)
        area = float(np.prod(high - low))
        if best is None or area < best[0] - 1e-9:
            frame = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
            best = area, frame @ axes, (float(high[0] - low[0]), float(high[1] - low[1]))
    assert best is not None  # noqa: S101 (a hull of pixels has corners)
    corners, sides = best[1], best[2]
    first = int(np.argmin(corners.sum(axis=1)))
    return np.roll(corners, -first, axis=0), sides if first % 2 == 0 else (sides[1], sides[0])


def _hull(points: Array) -> Array:
    """The convex hull, by Andrew's monotone chain."""
    ordered = sorted(map(tuple, np.unique(points, axis=0)))

    def half(chain: list[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for point in chain:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], point) <= 0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
