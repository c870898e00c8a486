"""The proof that a model's rows are independent: k rows at once against each row alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tritonpm.convert.running import Run, RunFailedError
from tritonpm.core.tensors import Array, compare, guesses
from tritonpm.core.types import Tensor

Row = dict[str, Array]  # inputs with a first dimension of 1

# How far rows may be apart, relative to the largest value of the tensor: kernels add up in another order for another
# batch, which costs a few units in the last place a layer; a row that influences another is off by far more.
TOLERANCE = {"d": 1e-9, "f": 1e-4, "e": 1e-2}


class RefutedError(Exception):
    """The model runs, and its rows are not independent."""


class NoInputsError(Exception):
    """No inputs were found that the model accepts."""


def runnable_rows(run: Run, inputs: Sequence[Tensor], samples: Sequence[Row], count: int) -> list[Row]:
    """`count` different rows that the model answers one by one: the samples', or made up. Raises NoInputsError."""
    failure = RunFailedError("it has no inputs")
    for rows in [_sampled(samples, count)] if samples else _made_up(inputs, count):
        try:
            run(rows[0])
            return rows
        except RunFailedError as error:
            failure = error
    kind = "its samples" if samples else "made-up inputs"
    raise NoInputsError(f"it does not run with {kind} ({failure})")


def _made_up(inputs: Sequence[Tensor], count: int) -> Iterator[list[Row]]:
    return map(list, zip(*(guesses(inputs, batch=1, seed=seed) for seed in range(count)), strict=True))


def _sampled(samples: Sequence[Row], count: int) -> list[Row]:
    """The samples' rows; where there are too few, the first one with its values shuffled."""
    rows = [{n: a[i : i + 1] for n, a in s.items()} for s in samples for i in range(min(map(len, s.values())))]
    random = np.random.default_rng(0)
    while 0 < len(rows) < count:
        rows.append({name: random.permuted(array.ravel()).reshape(array.shape) for name, array in rows[0].items()})
    return rows[:count]


def require_rows(original: Run, batchable: Run, rows: Sequence[Row]) -> None:
    """Raise RefutedError unless `batchable` answers each row as `original` does, alone and all at once."""
    count = len(rows)
    alone = [original(row) for row in rows]
    if reason := _apart(original(rows[0]), alone[0]):
        raise RefutedError(f"its answers to the same input differ from run to run: {reason}")
    if batchable is not original and (reason := _apart(alone[0], _run(batchable, rows[0], 1))):
        raise RefutedError(f"made dynamic, it answers a batch of 1 otherwise than before: {reason}")
    together = _run(batchable, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}, count)
    for name, array in together.items():
        if array.ndim == 0 or len(array) != count:
            raise RefutedError(f"output {name!r} has shape {list(array.shape)} for a batch of {count}")
    for index, want in enumerate(alone):
        row = {name: array[index : index + 1] for name, array in together.items()}
        if reason := _apart(want, row):
            raise RefutedError(f"in a batch of {count}, row {index} is answered otherwise than alone: {reason}")


def _run(run: Run, inputs: Row, batch: int) -> Row:
    try:
        return run(inputs)
    except RunFailedError as error:
        raise RefutedError(f"it does not run with a batch of {batch} ({error})") from None


def _apart(expected: Row, actual: Row) -> str:
    """ "" where the answers agree, else the first difference in one sentence."""
    for name, want in expected.items():
        finite = np.abs(want[np.isfinite(want)]) if want.dtype.kind == "f" else ()
        scale = float(max(finite, default=0.0))
        tolerance = TOLERANCE.get(want.dtype.char, 0.0)
        if reason := compare({name: want}, actual, rtol=0.0, atol=tolerance * scale):
            return reason
    return ""
