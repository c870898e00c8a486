"""Whether a converted model answers as the original does: both run on the same inputs, and the answers are measured.

The bounds are by precision, settable by name (`Settings.tolerances`). What they mean: `scaled` and `max_abs` are at
most, `cosine`, `top1` and `boxes` at least. A task that has a decision (a class, a box) is held to the decision too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tritonpm.convert.detection import boxes_of, matched
from tritonpm.convert.inputs import Clock, digest
from tritonpm.convert.meant import Meant
from tritonpm.convert.running import Run, RunFailedError
from tritonpm.convert.trials import Trial
from tritonpm.convert.verify import unstable
from tritonpm.core.tensors import Array, compare
from tritonpm.core.types import Agreement, Difference, Power, Task
from tritonpm.settings.settings import AT_MOST

BOUNDS: Mapping[str, Mapping[str, float]] = {
    "FP32": {"scaled": 1e-3, "cosine": 0.9999, "top1": 1.0, "boxes": 1.0},
    "FP16": {"scaled": 5e-2, "cosine": 0.999, "top1": 0.99, "boxes": 0.98},
    "INT8": {"cosine": 0.98, "top1": 0.95, "boxes": 0.9},
}
_TIE = 1e-3  # of the largest score: two classes this near to each other are no decision
# By how much an input is moved to see whether the original is stable there; INT8 is told from it by more than that.
_NUDGES: Mapping[str, float] = {"FP32": 2e-6, "FP16": 1e-3}
_DAMAGED = 12  # answers on which it is tried whether damage would be noticed

Inputs = Mapping[str, Array]


class UnverifiableError(Exception):
    """The original answers none of the inputs that there are."""


# Channels of an output that lie far apart in size (boxes and scores) are looked at apart. Of a group that counts, the
# cosine is at least so much; those count whose largest value is at least this share of the output's, and of 1.
_GROUPS: Mapping[str, tuple[float, float]] = {"FP32": (0.99, 1e-5), "FP16": (0.9, 1e-3), "INT8": (0.5, 0.02)}
_MANY = (5, 4096)  # channels: fewer or more are none


@dataclass
class Measured:
    """What was seen so far, by output."""

    task: Task = Task.OTHER
    differences: dict[str, Difference] = field(default_factory=dict)
    dots: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # of want·got, want·want, got·got
    decisions: list[bool] = field(default_factory=list)
    boxes: list[tuple[float, int]] = field(default_factory=list)  # (seen by both, seen by either)
    channels: dict[tuple[str, int], Array] = field(default_factory=dict)  # of each: the three dots, and the largest
    unread: str = ""  # why an output was not compared as a tensor
    meant: Meant | None = None  # what the package says of its outputs; objects are compared then, not guesses

    def add(self, want: Inputs, got: Inputs) -> None:
        """One more pair of answers. Raises ValueError where they cannot be compared, or one sees nothing."""
        boxes = boxes_of(want) if self.task in _DETECTIONS and self.meant is None else None
        read = self.meant is not None and self._mean(self.meant, want, got)
        if boxes and (others := boxes_of(got)):
            if len(boxes.scores) and not len(others.scores):
                raise ValueError(f"it sees none of the {len(boxes.scores)} objects that the original sees")
            self.boxes.append(matched(boxes, others))
        for name, expected in want.items():
            if name not in got:
                raise ValueError(f"output {name!r} is missing")
            if got[name].shape != expected.shape:
                if read:
                    continue  # as many rows as it saw objects: these are compared as such
                if boxes:  # as many rows as it saw objects; what these are is only guessed, which proves nothing
                    self.unread = (
                        f"output {name!r} has another number of rows, and the package does not say how to read it"
                    )
                    continue
                raise ValueError(f"output {name!r} has shape {list(got[name].shape)}, not {list(expected.shape)}")
            self._measure(name, expected, got[name])
            if self.task is Task.IMAGE_CLASSIFICATION and expected.ndim == 2 and expected.shape[1] > 1:
                self.decisions += _same_class(expected, got[name])

    def _mean(self, meant: Meant, want: Mapping[str, Array], got: Mapping[str, Array]) -> bool:
        """Objects beside objects, where answers can be read so. Raises ValueError where only one finds something."""
        match = meant.match(want, got)
        if match is None:
            return False
        if match.reason:
            raise ValueError(match.reason)
        if match.either:
            self.boxes.append((match.both, match.either))
        return True

    def apart(self, want: Inputs, got: Inputs, precision: str, bounds: Mapping[str, float]) -> str:
        """One more pair of answers; "" where all of them are within the bounds, else what is not."""
        try:
            self.add(want, got)
        except ValueError as error:
            return str(error)
        return outside(self.result(), bounds) or self.collapsed(precision)

    def _measure(self, name: str, want: Array, got: Array) -> None:
        if want.dtype.kind not in "fViub":
            same = bool((want == got).all())
            old = self.differences.get(name)
            same = same and (old is None or old.cosine == 1.0)
            self.differences[name] = Difference(name, float(not same), float(not same), float(not same), float(same))
            return
        a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
        if not np.isfinite(b[np.isfinite(a)]).all():
            raise ValueError(f"output {name!r} holds NaN or infinity where the original has none")
        if np.isfinite(b[np.isnan(a)]).any():
            raise ValueError(f"output {name!r} holds a number where the original has NaN")
        self._measure_channels(name, want, got)
        a, b = a[np.isfinite(a)], b[np.isfinite(a)]
        apart, size = np.abs(a - b), np.abs(a)
        worst = float(apart.max(initial=0.0))
        rel = float((apart / np.maximum(size, 1e-6 * (size.max(initial=0.0) or 1.0))).max(initial=0.0))
        scaled = worst / float(size.max(initial=0.0) or 1.0)
        old = self.differences.get(name, Difference(name, 0.0, 0.0, 0.0, 1.0))
        sums = tuple(x + y for x, y in zip(self.dots.get(name, (0.0,) * 3), (a @ b, a @ a, b @ b), strict=True))
        self.dots[name] = sums[0], sums[1], sums[2]
        length = float(np.sqrt(sums[1]) * np.sqrt(sums[2]))
        cosine = float(sums[0]) / length if length else float(sums[1] == sums[2])
        self.differences[name] = Difference(
            name, max(worst, old.max_abs), max(rel, old.max_rel), max(scaled, old.scaled), cosine
        )

    def _measure_channels(self, name: str, want: Array, got: Array) -> None:
        for axis in {want.ndim - 1, 1} if want.ndim > 2 else {1} if want.ndim == 2 else ():
            if want.dtype.kind != "f" or not _MANY[0] <= want.shape[axis] <= _MANY[1]:
                continue
            a, b = (
                np.nan_to_num(
                    np.moveaxis(array, axis, 0).reshape(want.shape[axis], -1).astype(np.float64), posinf=0, neginf=0
                )
                for array in (want, got)
            )
            largest = np.abs(a).max(axis=1, initial=0.0)
            sums = np.stack([(a * b).sum(1), (a * a).sum(1), (b * b).sum(1), largest])
            before = self.channels.get((name, axis), np.zeros_like(sums))
            if before.shape == sums.shape:
                self.channels[name, axis] = np.vstack([before[:3] + sums[:3], np.maximum(before[3:], sums[3:])])

    def collapsed(self, precision: str) -> str:
        """ "" where all channels of every output follow the original's, large and small ones; else which do not."""
        least, floor = _GROUPS[precision]
        for (name, axis), (both, ours, theirs, largest) in self.channels.items():
            most = float(largest.max(initial=0.0))
            counted = largest >= max(floor * min(most, 1.0), 1e-5 * most)
            decades = np.floor(np.log10(np.where(counted & (largest > 0), largest, 1.0)))
            for decade in np.unique(decades[counted & (largest > 0)]):
                group = counted & (largest > 0) & (decades == decade)
                length = float(np.sqrt(ours[group].sum()) * np.sqrt(theirs[group].sum()))
                cosine = float(both[group].sum()) / length if length else 0.0
                if cosine < least:
                    first = int(np.flatnonzero(group)[0])
                    many = f"{int(group.sum())} of {len(group)} channels (axis {axis}, the first is {first})"
                    return f"output {name!r} is off in {many}: cosine {cosine:.3f} < {least:g}"
        return ""

    def result(self, tried: Sequence[Trial] = ()) -> Agreement:
        """What was measured, judged or not."""
        seen, total = (sum(column) for column in zip(*self.boxes, strict=True)) if self.boxes else (0, 0)
        return Agreement(
            "verified",
            inputs=", ".join(dict.fromkeys(trial.what for trial in tried)),
            outputs=tuple(self.differences.values()),
            top1=float(np.mean(self.decisions)) if self.decisions else None,
            boxes=(seen / total if total else 1.0) if self.boxes else None,
        )


_DETECTIONS = (Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION, Task.TEXT_DETECTION)


@dataclass
class _Seen:
    """What came of the inputs that were tried."""

    tried: list[Trial] = field(default_factory=list)
    wants: list[Inputs] = field(default_factory=list)
    refusal: str = ""
    refused: dict[str, None] = field(default_factory=dict)
    beyond: str = ""  # what differs on values that are not usual
    excused: str = ""  # what differs where the original itself is not stable


def agreement(
    original: Run,
    converted: Run,
    inputs: Iterable[Trial],
    *,
    precision: str,
    task: Task = Task.OTHER,
    tolerances: Mapping[str, float] | None = None,
    clock: Clock | None = None,
    meant: Meant | None = None,
) -> Agreement:
    """Run both on every trial, as long as there is time, and judge.

    Raises UnverifiableError where the original runs on none.
    """
    measured, seen = Measured(task, meant=meant), _Seen()
    bounds = {**BOUNDS[precision], **(tolerances or {})}
    for trial in inputs:
        if clock and clock.over and seen.tried:
            break
        want = _original_answer(original, trial, seen)
        if want is None:
            continue
        one, got = Measured(task, meant=meant), dict[str, Array]()
        try:
            got = converted(trial.arrays)
            reason = one.apart(want, got, precision, bounds)
        except RunFailedError as error:
            reason = str(error)
        if precision == "FP32" and not reason and not tolerances:
            reason = _inexact(trial.arrays, want, got)
        if reason and not trial.sample and _excused(original, trial.arrays, want, got, precision):
            seen.excused = reason
            continue
        seen.tried.append(trial)
        if reason and not trial.usual:
            seen.beyond = seen.beyond or f"{trial.what}: {reason}"
        elif reason and not one.differences:
            return replace(measured.result(seen.tried), state="failed", reason=f"on {trial.what}: {reason}")
        elif trial.usual:
            seen.wants.append(want)
            try:
                measured.add(want, got)
            except ValueError as error:
                return replace(measured.result(seen.tried), state="failed", reason=f"on {trial.what}: {error}")
    if not seen.tried:
        return _untried(seen, precision)
    return _concluded(measured, seen, precision, bounds, given=bool(tolerances))


def _untried(seen: _Seen, precision: str) -> Agreement:
    """Where no input tells. Raises UnverifiableError where the original took none."""
    if not seen.excused:
        raise UnverifiableError(f"the original itself answers none of the inputs ({seen.refusal or 'there are none'})")
    reason = f"what the original answers to made-up inputs hangs on less than {precision} holds ({seen.excused})"
    return Agreement("unverified", reason=f"{reason}; samples would settle it")


def _original_answer(original: Run, trial: Trial, seen: _Seen) -> Inputs | None:
    """What the original says; None where it refuses, or has no number for an unusual input."""
    try:
        want = original(trial.arrays)
    except RunFailedError as error:
        seen.refusal = str(error)
    else:
        if trial.usual or _finite(want):
            return want
    seen.refused[trial.what] = None
    return None


def _concluded(
    measured: Measured, seen: _Seen, precision: str, bounds: Mapping[str, float], *, given: bool
) -> Agreement:
    """The judgement; bounds that were `given` hold on inputs that nobody may send, too."""
    result = measured.result(seen.tried)
    if reason := outside(result, bounds) or measured.collapsed(precision):
        return replace(result, state="failed", reason=reason)
    power = replace(
        noticed(seen.wants[:_DAMAGED], measured.task, precision, bounds, measured.meant),
        inputs=digest([trial.arrays for trial in seen.tried]),
    )
    result = replace(result, power=power)
    if measured.unread:
        return replace(result, state="unverified", reason=measured.unread)
    if seen.beyond:
        state = "failed" if given else "unverified"
        return replace(result, state=state, reason=f"it answers differently on {seen.beyond}; {SETTLE}")
    if power.blind:
        return replace(result, state="unverified", reason=f"{power.blind[0]}, so nothing is proved; {TELL}")
    return replace(result, state="verified")


SETTLE = "declare in package.yaml which values its inputs hold (`values`), if these are not among them"
TELL = "samples for which its answers differ would settle it"


def _inexact(arrays: Inputs, want: Inputs, got: Inputs) -> str:
    """Where whole numbers are made of whole numbers nothing is rounded, and an answer is right or wrong."""
    if any(array.dtype.kind in "fV" for array in arrays.values()):
        return ""
    whole = {name: array for name, array in want.items() if array.dtype.kind in "iub"}
    return compare(whole, got, rtol=0.0, atol=0.0)


def _finite(answer: Inputs) -> bool:
    return all(np.isfinite(array).all() for array in answer.values() if array.dtype.kind == "f")


def _excused(original: Run, arrays: Inputs, want: Inputs, got: Inputs, precision: str) -> bool:
    """Whether the original's answer hangs on less than the precision has: what was made up tells nothing there."""
    by = _NUDGES.get(precision)
    return by is not None and bool(got) and unstable(original, dict(arrays), dict(want), dict(got), by)


def noticed(
    wants: Sequence[Inputs], task: Task, precision: str, bounds: Mapping[str, float], meant: Meant | None = None
) -> Power:
    """How much damage to these answers would be noticed; `blind` names what would not."""
    tried, seen, blind = 0, 0, []
    for name in wants[0] if wants else ():
        for what, damaged in _damages([want[name] for want in wants if name in want]):
            measured, pairs = Measured(task, meant=meant), zip(wants, damaged, strict=True)
            found = any(measured.apart(want, {**want, name: other}, precision, bounds) for want, other in pairs)
            tried, seen = tried + 1, seen + found
            if not found:
                blind.append(f"output {name!r} could be {what} and nobody would notice")
    return Power(seen, tried, tuple(blind))


def _damages(arrays: Sequence[Array]) -> Iterator[tuple[str, list[Array]]]:
    """An output of all answers, wrong in different ways."""
    yield "empty", [np.zeros_like(array) if array.dtype.kind != "O" else np.full_like(array, b"") for array in arrays]
    others = []
    for index, array in enumerate(arrays):
        rows = len(array) if array.ndim else 0
        same = next((other for other in (*arrays[index + 1 :], *arrays[:index]) if other.shape == array.shape), array)
        others.append(np.roll(array, 1, axis=0) if rows > 1 else same)
    yield "another row's", others
    for axis in (1, -1):
        if all(
            array.dtype.kind == "f" and array.ndim > 2 and _MANY[0] <= array.shape[axis] <= _MANY[1] for array in arrays
        ):
            emptied = [_emptied(array, axis) for array in arrays]
            if any(not np.array_equal(one, other) for one, other in zip(arrays, emptied, strict=True)):
                yield f"empty after its first 4 of axis {axis % arrays[0].ndim}", emptied


def _emptied(array: Array, axis: int) -> Array:
    kept = np.arange(array.shape[axis]) < 4
    return np.asarray(array * kept.reshape([-1 if a == axis % array.ndim else 1 for a in range(array.ndim)]))


def judged(
    want: Inputs, got: Inputs, *, precision: str, task: Task = Task.OTHER,
    tolerances: Mapping[str, float] | None = None, meant: Meant | None = None,
) -> Agreement:  # fmt: skip
    """One answer beside another."""
    measured = Measured(task, meant=meant)
    reason = measured.apart(want, got, precision, {**BOUNDS[precision], **(tolerances or {})})
    result = measured.result()
    if not reason and measured.unread:
        return replace(result, state="unverified", reason=measured.unread)
    return replace(result, state="failed" if reason else "verified", reason=reason)


def outside(result: Agreement, bounds: Mapping[str, float]) -> str:
    """ "" where the measures are within the bounds, else the first that is not, with its numbers."""
    for name in ("top1", "boxes"):
        share = getattr(result, name)
        if share is not None and share < bounds.get(name, 0.0):
            what = "rows have the same class" if name == "top1" else "objects are seen by both"
            return f"only {share:.2%} of the {what}, {bounds[name]:.2%} are asked for"
    for output in result.outputs:
        for name in AT_MOST:
            if name in bounds and getattr(output, name) > bounds[name]:
                return f"output {output.tensor!r} is off: {name} {getattr(output, name):.3g} > {bounds[name]:g}"
        if output.cosine < bounds.get("cosine", -1.0):
            return f"output {output.tensor!r} is off: cosine {output.cosine:.5f} < {bounds['cosine']:g}"
    return ""


def _same_class(want: Array, got: Array) -> list[bool]:
    """Row by row whether both decide for one class; two scores of the original that are as good as equal are a tie."""
    rows = np.arange(len(want))
    chosen = got.argmax(axis=1)
    short = want.max(axis=1) - want[rows, chosen]
    return list((short <= _TIE * np.abs(want).max(axis=1)).tolist())
