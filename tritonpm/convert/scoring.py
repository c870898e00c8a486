"""How much a quantised model loses: its answers beside those of the original, as one score from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.core.types import Task

Answer = Mapping[str, Array]


def score(task: Task, want: Answer, got: Answer) -> float:
    """1 where the answers are the same: rows of the same class for a classification, else the worst output's cosine."""
    shares = []
    for name, expected in want.items():
        if got[name].shape != expected.shape:
            shares.append(0.0)
        elif not expected.size:
            shares.append(1.0)
        elif expected.dtype.kind != "f":
            shares.append(float(np.mean(expected == got[name])))
        elif task is Task.IMAGE_CLASSIFICATION and expected.ndim == 2 and expected.shape[1] > 1:
            shares.append(float(np.mean(expected.argmax(axis=1) == got[name].argmax(axis=1))))
        else:
            shares.append(_cosine(expected, got[name]))
    return min(shares, default=1.0)


def mean_score(task: Task, want: Sequence[Answer], got: Sequence[Answer]) -> float:
    """Over all rows."""
    return float(np.mean([score(task, one, other) for one, other in zip(want, got, strict=True)]))


def _cosine(want: Array, got: Array) -> float:
    known = np.isfinite(want)
    if not np.isfinite(got[known]).all() or not np.array_equal(want[~known], got[~known], equal_nan=True):
        return 0.0
    want, got = want[known], got[known]
    a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(0.0, float(a @ b) / length) if length else float(np.array_equal(a, b))
