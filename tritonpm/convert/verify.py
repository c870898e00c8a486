"""The proof that a model's rows are independent: rows in a batch against the original run one by one.

It counts only as far as it would have noticed a wrong model: each place of the largest batch must have held a row whose
answer is another than its neighbour's and than the first row's, and is not empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tritonpm.convert.inputs import Clock, Kind, NoInputsError, Row, digest
from tritonpm.convert.running import NotRunnableError, Run, RunFailedError
from tritonpm.core.sandbox import says_out_of_memory
from tritonpm.core.tensors import Array, compare
from tritonpm.core.types import Power

# How far rows may be apart, relative to the largest value of the row: kernels add up in another order for another
# batch, which costs a few units in the last place a layer; a row that influences another is off by far more.
TOLERANCE = {"d": 1e-9, "f": 1e-4, "e": 1e-2}
_FINER = 0.01  # of that, at the least, where a number is small beside others of its row: a score beside pixels
ALONE = 16  # rows that are run one by one; a larger batch repeats them
_FEWEST = 2
_TRIES = 4 * ALONE  # rows that are tried where no two tell
_QUICK = 0.4  # seconds: as long as a proof has not taken more, it looks closer
_MORE = 2.0  # times as long as it took is spent on finding rows that tell
_AGAIN = 1.3  # times what it has taken, at the most, goes to batches of one row over and over
ROWS = 3  # of a batch that is not the largest
_NUDGE = 2e-6  # of an input, relatively: what a row's answer must not hang on, or it tells nothing
_EXPLAINS = 10.0  # so many times what a nudge changes is no difference


class RefutedError(Exception):
    """The model runs, and its rows are not independent."""


@dataclass
class RunRows:
    """Rows that were run one by one, with what the original answers; `refused` are the kinds that it does not take."""

    rows: list[Row] = field(default_factory=list)
    answers: list[Row] = field(default_factory=list)
    refused: dict[str, None] = field(default_factory=dict)

    def add(self, run: Run, candidates: Iterable[tuple[Kind, Row]], count: int, clock: Clock) -> None:
        """Up to `count` rows in all, as long as there is time; fewer only where the model takes no more."""
        failures, failure = 0, ""
        for kind, row in candidates:
            if len(self.rows) >= count or failures > _TRIES or (clock.over and len(self.rows) >= _FEWEST):
                break
            try:
                answer = run(row)
            except RunFailedError as error:
                failures, failure = failures + 1, str(error)
                self.refused[kind.name] = None
                continue
            _require_rows_of(answer, len(next(iter(row.values()))))
            if self.answers and _shapes(answer) != _shapes(self.answers[0]):
                raise RefutedError(
                    f"the shapes of its answers depend on what is in a row ({_reshaped(self.answers[0], answer)})"
                )
            self.rows.append(row)
            self.answers.append(answer)
        if not self.rows:
            raise NoInputsError(f"it does not run with its samples ({failure})")

    def drop(self, index: int) -> None:
        """Forget a row."""
        del self.rows[index], self.answers[index]


def require_rows(
    original: Run, batchable: Run, rows: RunRows, more: Iterator[tuple[Kind, Row]], largest: int, clock: Clock
) -> Power:
    """Raise RefutedError unless `batchable` answers each row as `original` does alone, in every place of a batch.

    What comes back is whether a wrong model would have been noticed; `more` are rows to try where those do not tell.
    Raises NotRunnableError where there is no memory for that batch.
    """
    _require_same(original, rows, 0, "its answers to the same input differ from run to run", original)
    if batchable is not original:
        _require_same(batchable, rows, 0, "made dynamic, it answers a batch of 1 otherwise than before", original)
    told = _Told(rows, largest)
    sizes = {min(largest, ROWS), *((2, largest // 2 + 1) if clock.spent < _QUICK else ()), largest} - {1}
    for size in sorted(size for size in sizes if size <= largest):
        if size in (largest, ROWS) or not clock.over:
            _require_equal(original, batchable, rows, lambda n=size: np.arange(n) % len(rows.rows), told)
    while_quick = max(_QUICK, clock.spent * _AGAIN)
    for index in range(len(rows.rows)):  # what is summed or counted over a batch goes furthest where all rows are alike
        if clock.spent > while_quick or index >= len(rows.rows):
            break
        _require_equal(original, batchable, rows, lambda i=index: np.full(largest, min(i, len(rows.rows) - 1)), told)
    patience = clock.spent * _MORE
    while told.wants_more and len(rows.rows) < _TRIES and clock.spent < max(patience, _QUICK) and not clock.over:
        before = len(rows.rows)
        rows.add(original, more, before + ALONE // 2, clock)
        if len(rows.rows) == before:
            break
    for arrange in told.arrangements():
        if clock.over:
            break
        _require_equal(original, batchable, rows, arrange, told)
    return told.power(digest(rows.rows))


def _require_same(run: Run, rows: RunRows, index: int, sentence: str, original: Run) -> None:
    answer = _run(run, rows.rows[index], 1)
    expected = rows.answers[index]
    if (reason := _apart(expected, answer)) and not unstable(original, rows.rows[index], expected, answer):
        raise RefutedError(f"{sentence}: {reason}")


def _require_equal(original: Run, batchable: Run, rows: RunRows, arrange: object, told: _Told) -> None:
    """One batch, arranged so; without a row on which the original itself is not stable it is tried anew."""
    while True:
        order = arrange()  # type: ignore[operator]
        count = len(order)
        chosen = [rows.rows[index] for index in order]
        together = _run(batchable, {name: np.concatenate([row[name] for row in chosen]) for name in chosen[0]}, count)
        wrong = _first_wrong(rows, order, together)
        if wrong is None:
            told.saw(order)
            return
        place, reason = wrong
        index = int(order[place])
        got = {name: array[place : place + 1] for name, array in together.items()}
        if len(rows.rows) <= _FEWEST or not unstable(original, rows.rows[index], rows.answers[index], got):
            raise RefutedError(f"in a batch of {count}, row {place} is answered differently than alone: {reason}")
        rows.drop(index)
        told.forget()


def _first_wrong(rows: RunRows, order: Array, together: Row) -> tuple[int, str] | None:
    """The first place that is answered differently than alone, with the difference. Raises RefutedError for a shape."""
    worst: tuple[int, str] | None = None
    _require_rows_of(together, len(order))
    for name, array in together.items():
        expected = np.concatenate([rows.answers[index][name] for index in order])
        allowed = _allowed(expected)
        if expected.shape == array.shape and expected.dtype == array.dtype and _close(expected, array, allowed).all():
            continue
        for place in range(len(order) if worst is None else worst[0]):
            here = slice(place, place + 1)
            if reason := compare({name: expected[here]}, {name: array[here]}, rtol=0.0, atol=allowed[here]):
                worst = place, reason
                break
    return worst


def _require_rows_of(answer: Row, count: int) -> None:
    for name, array in answer.items():
        if array.ndim == 0 or len(array) != count:
            raise RefutedError(f"output {name!r} has shape {list(array.shape)} for a batch of {count}")


def _allowed(want: Array) -> Array:
    """How far each number of a batch may be off, by the largest of its row, and of its channel where that is smaller.

    Which axis the channels are is not known: the smallest counts, so that scores beside boxes in pixels are held to
    what scores are.
    """
    if want.dtype.kind not in "fV" or not want.size:
        return np.zeros((len(want),) + (1,) * (want.ndim - 1))
    sizes = np.abs(want.astype(np.float64 if want.dtype.char == "d" else np.float32))
    sizes[~np.isfinite(sizes)] = 0.0
    own = sizes.max(axis=tuple(range(1, want.ndim)), keepdims=True)
    least = own
    for axis in range(1, want.ndim):
        others = tuple(other for other in range(want.ndim) if other != axis)
        least = np.minimum(least, sizes.max(axis=others, keepdims=True))
    allowed = np.maximum(least, _FINER * own)
    allowed *= TOLERANCE.get(want.dtype.char, 0.0)
    return np.asarray(allowed)


def _close(want: Array, got: Array, allowed: Array) -> Array:
    if want.dtype.kind not in "fV":
        return np.asarray(want == got)
    one, other = want.astype(np.float64), got.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    one -= other
    with np.errstate(invalid="ignore"):
        return np.asarray(same | (np.abs(one, out=one) <= allowed))


def _run(run: Run, inputs: Row, batch: int) -> Row:
    try:
        return run(inputs)
    except RunFailedError as error:
        if says_out_of_memory(str(error)):
            raise NotRunnableError(f"there is not enough memory here to run a batch of {batch}") from None
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


def nudged(row: Row, seed: int, by: float = _NUDGE) -> Row | None:
    """The row with its floats moved a little; None where it has none."""
    random = np.random.default_rng(seed)
    if not any(array.dtype.kind == "f" for array in row.values()):
        return None
    return {
        name: (array * (1 + by * random.choice([-1.0, 1.0], array.shape))).astype(array.dtype)
        if array.dtype.kind == "f"
        else array
        for name, array in row.items()
    }


def unstable(original: Run, row: Row, want: Row, got: Row, by: float = _NUDGE) -> bool:
    """Whether the original's own answer moves as much where its input moves by next to nothing, and only then."""
    if _apart(want, original(row)):
        return False
    moved = dict.fromkeys(want, 0.0)
    for seed in range(2):
        beside = nudged(row, seed, by)
        if beside is None:
            return False
        try:
            answer = original(beside)
        except RunFailedError:
            return True
        for name, array in want.items():
            moved[name] = max(moved[name], _distance(array, answer[name]))
    return all(_distance(array, got[name]) <= _EXPLAINS * moved[name] for name, array in want.items())


def _distance(want: Array, got: Array) -> float:
    if want.shape != got.shape or want.dtype.kind not in "fViub":
        return float("inf") if want.shape != got.shape or not np.array_equal(want, got) else 0.0
    a, b = want.astype(np.float64), got.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    return float(np.where(np.isnan(apart), np.inf, apart).max(initial=0.0))


def _shapes(answer: Row) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in answer.items()}


def _reshaped(one: Row, other: Row) -> str:
    name = next(name for name in one if one[name].shape != other[name].shape)
    return f"output {name!r} has shape {list(one[name].shape)} and {list(other[name].shape)}"


class _Told:
    """What the batches that were run would have noticed: by output, in each place of the largest one."""

    _DAMAGES = ("the first row's answer", "its neighbour's answer", "nothing")

    def __init__(self, rows: RunRows, largest: int) -> None:
        self.rows, self.largest = rows, largest
        self.noticed = {name: np.zeros((len(self._DAMAGES), largest), bool) for name in rows.answers[0]}
        self._known: dict[str, tuple[Array, Array]] = {}

    def forget(self) -> None:
        """A row went."""
        self._known.clear()

    def saw(self, order: Array) -> None:
        """A batch was right; what would have been noticed in it counts where it was the largest."""
        if len(order) != self.largest:
            return
        for name, noticed in self.noticed.items():
            classes, empty = self._classes(name)
            own = classes[order]
            first = own != own[0]
            first[0] = bool(len(own) > 1 and (own[1:] != own[0]).any())
            beside = own != np.roll(own, 1)
            noticed |= np.stack([first, beside, ~empty[order]])

    def _classes(self, name: str) -> tuple[Array, Array]:
        """For each row the number of its answer, alike for answers that are alike; and whether that is empty."""
        known = self._known.get(name)
        if known is None or len(known[0]) != len(self.rows.answers):
            kinds: list[Array] = []
            classes = []
            for answer in self.rows.answers:
                array = answer[name]
                number = next(
                    (n for n, kind in enumerate(kinds) if not _apart({name: kind}, {name: array})), len(kinds)
                )
                if number == len(kinds):
                    kinds.append(array)
                classes.append(number)
            void = [_empty(kind) for kind in kinds]
            known = self._known[name] = np.array(classes), np.array([void[number] for number in classes])
        return known

    @property
    def blind(self) -> tuple[str, ...]:
        """The outputs in which some damage would have gone unnoticed."""
        return tuple(name for name, noticed in self.noticed.items() if not noticed.all())

    @property
    def wants_more(self) -> bool:
        """Whether an output has no two rows that tell."""
        return any(self._pair(name) is None for name in self.blind)

    def _pair(self, name: str) -> tuple[int, int] | None:
        """A row whose answer is not empty, and one with another answer."""
        classes, empty = self._classes(name)
        telling = next((index for index in range(len(classes)) if not empty[index]), None)
        other = next((i for i in range(len(classes)) if telling is not None and classes[i] != classes[telling]), None)
        return None if telling is None or other is None else (telling, other)

    def arrangements(self) -> Iterator[object]:
        """Orders that bring a telling row into each place, for each output that needs one."""
        for name in self.blind:
            for pattern in range(4):
                if name in self.blind and self._pair(name) is not None:
                    yield lambda name=name, pattern=pattern: self._arranged(name, pattern)

    def _arranged(self, name: str, pattern: int) -> Array:
        pair = self._pair(name)
        if pair is None:
            return np.arange(self.largest) % len(self.rows.rows)
        telling, other = pair
        places = np.arange(self.largest)
        here = (places % 2 == 0, places % 2 == 1, places == 0, places > 0)[pattern]
        return np.where(here, telling, other)

    def power(self, inputs: str) -> Power:
        """What was noticed in all, and what not in words."""
        blind = []
        for name in self.blind:
            classes, _ = self._classes(name)
            if len(set(classes.tolist())) == 1:
                blind.append(f"output {name!r} is the same for every input that was tried")
            else:
                damage = self._DAMAGES[int(np.argmin(self.noticed[name].all(axis=1)))]
                blind.append(f"output {name!r} was not seen to differ in every place (a row that gets {damage})")
        masks = self.noticed.values()
        return Power(int(sum(m.sum() for m in masks)), int(sum(m.size for m in masks)), tuple(blind), inputs)


def _empty(array: Array) -> bool:
    if array.dtype.kind == "O":
        return not any(array.ravel())
    return not array.size or not np.nan_to_num(array.astype(np.float64)).any()


def sampled(samples: Sequence[Mapping[str, Array]]) -> list[Row]:
    """The samples' rows, those of the shapes that most of them have."""
    rows = [{n: a[i : i + 1] for n, a in s.items()} for s in samples for i in range(min(map(len, s.values())))]
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple((name, array.shape) for name, array in sorted(row.items())), []).append(row)
    return max(groups.values(), key=len, default=[])
