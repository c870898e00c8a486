"""Connected areas of a picture of yes and no, and the smallest rectangle around one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tritonpm.core.tensors import Array

SAME_AREA = 1e-9  # a share by which areas of rectangles may differ that are one
# Parts of a pixel by which a corner must be nearer to the upper left than another; else the higher one is.
SAME_PLACE = 2.0**20
MOST_ROWS = 2.0**16  # of a map


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
    """Corners [4, 2] (x, y) of the smallest rectangle around pixels, clockwise from the upper left, and its sides.

    Of rectangles of one area the one that is turned least.
    """
    extremes = [(columns[rows == row].min(), columns[rows == row].max(), row) for row in np.unique(rows)]
    points = np.array([(x + dx, row + dy) for low, high, row in extremes
                       for x, dx in ((low, 0), (high, 1)) for dy in (0, 1)], np.float64)  # fmt: skip
    hull = _hull(points)
    sides = np.roll(hull, -1, axis=0) - hull
    along = sides / np.linalg.norm(sides, axis=1, keepdims=True)
    axes = np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=1)  # [k, 2, 2]
    reach = axes @ hull.T
    lows, highs = reach.min(axis=2), reach.max(axis=2)
    areas = np.prod(highs - lows, axis=1)
    quarter = np.sign(np.prod(along, axis=1))  # of the angle's sine what is below 90°; upright is 0
    turned = np.abs(np.where(quarter > 0, along[:, 1], along[:, 0]) * quarter)
    best = int(np.argmin(np.where(areas <= areas.min() * (1 + SAME_AREA), turned, np.inf)))
    low, high = lows[best], highs[best]
    frame = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    corners, (width, height) = frame @ axes[best], (high - low).tolist()
    first = int(np.argmin(np.rint(corners.sum(axis=1) * SAME_PLACE) + corners[:, 1] / MOST_ROWS))
    return np.roll(corners, -first, axis=0), (width, height) if first % 2 == 0 else (height, width)


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
