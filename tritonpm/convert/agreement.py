"""Whether a converted model answers as the original does: both run on the same inputs, and the answers are measured.

The bounds are by precision, settable by name (`Settings.tolerances`). What they mean: `scaled` and `max_abs` are at
most, `cosine`, `top1` and `boxes` at least. A task that has a decision (a class, a box) is held to the decision too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tritonpm.convert.detection import boxes_of, matched
from tritonpm.convert.meant import Meant
from tritonpm.convert.running import Run, RunFailedError
from tritonpm.core.tensors import Array, guesses, synthesize
from tritonpm.core.types import Agreement, Difference, Task, Tensor
from tritonpm.core.units import number_of
from tritonpm.settings.settings import AT_MOST

BOUNDS: Mapping[str, Mapping[str, float]] = {
    "FP32": {"scaled": 1e-3, "cosine": 0.9999, "top1": 1.0, "boxes": 1.0},
    "FP16": {"scaled": 5e-2, "cosine": 0.999, "top1": 0.99, "boxes": 0.98},
    "INT8": {"cosine": 0.98, "top1": 0.95, "boxes": 0.9},
}
SEEDS = 4  # made-up inputs that are tried at batch 1
_TIE = 1e-3  # of the largest score: two classes this near to each other are no decision

Inputs = Mapping[str, Array]


class UnverifiableError(Exception):
    """The original answers none of the inputs that there are."""


@dataclass
class Measured:
    """What was seen so far, by output."""

    differences: dict[str, Difference] = field(default_factory=dict)
    dots: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # of want·got, want·want, got·got
    decisions: list[bool] = field(default_factory=list)
    boxes: list[tuple[float, int]] = field(default_factory=list)  # (seen by both, seen by either)
    meant: Meant | None = None  # what the package says of its outputs; objects are compared then, not guesses

    def add(self, task: Task, want: Mapping[str, Array], got: Mapping[str, Array]) -> None:
        """One more pair of answers. Raises ValueError where they cannot be compared."""
        boxes = boxes_of(want) if task in _DETECTIONS and self.meant is None else None
        read = self.meant is not None and self._mean(self.meant, want, got)
        if boxes and (others := boxes_of(got)):
            self.boxes.append(matched(boxes, others))
        for name, expected in want.items():
            if name not in got:
                raise ValueError(f"output {name!r} is missing")
            if got[name].shape != expected.shape:
                if boxes or read:
                    continue  # as many rows as it saw boxes: these are compared as boxes
                raise ValueError(f"output {name!r} has shape {list(got[name].shape)}, not {list(expected.shape)}")
            self._measure(name, expected, got[name])
            if task is Task.IMAGE_CLASSIFICATION and expected.ndim == 2 and expected.shape[1] > 1:
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

    def _measure(self, name: str, want: Array, got: Array) -> None:
        if want.dtype.kind not in "fViub":
            same = bool((want == got).all())
            self.differences[name] = Difference(name, float(not same), float(not same), float(not same), float(same))
            return
        a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
        if not np.isfinite(b[np.isfinite(a)]).all():
            raise ValueError(f"output {name!r} holds NaN or infinity where the original has none")
        a, b = a[np.isfinite(a)], b[np.isfinite(a)]
        apart, size = np.abs(a - b), np.abs(a)
        worst = float(apart.max(initial=0.0))
        rel = float((apart / np.maximum(size, 1e-6 * (size.max(initial=0.0) or 1.0))).max(initial=0.0))
        scaled = worst / float(size.max(initial=0.0) or 1.0)
        old = self.differences.get(name, Difference(name, 0.0, 0.0, 0.0, 1.0))
        sums = tuple(x + y for x, y in zip(self.dots.get(name, (0.0,) * 3), (a @ b, a @ a, b @ b), strict=True))
        self.dots[name] = sums[0], sums[1], sums[2]
        length = float(np.sqrt(sums[1] * sums[2]))
        cosine = float(sums[0]) / length if length else float(sums[1] == sums[2])
        self.differences[name] = Difference(
            name, max(worst, old.max_abs), max(rel, old.max_rel), max(scaled, old.scaled), cosine
        )


_DETECTIONS = (Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION, Task.TEXT_DETECTION)


def agreement(
    original: Run,
    converted: Run,
    inputs: Sequence[tuple[str, Inputs]],
    *,
    precision: str,
    task: Task = Task.OTHER,
    tolerances: Mapping[str, float] | None = None,
    meant: Meant | None = None,
) -> Agreement:
    """Run both on every (description, inputs) and judge. Raises UnverifiableError where the original runs on none."""
    measured, tried, refusal = Measured(meant=meant), [], ""
    for what, arrays in inputs:
        try:
            want = original(arrays)
        except RunFailedError as error:
            refusal = str(error)
            continue
        tried.append(what)
        try:
            measured.add(task, want, converted(arrays))
        except (RunFailedError, ValueError) as error:
            return replace(_result(measured, tried), state="failed", reason=f"on {what}: {error}")
    if not tried:
        raise UnverifiableError(f"the original itself answers none of the inputs ({refusal or 'there are none'})")
    return _judged(_result(measured, tried), precision, tolerances)


def judged(
    want: Inputs, got: Inputs, *, precision: str, task: Task = Task.OTHER,
    tolerances: Mapping[str, float] | None = None, meant: Meant | None = None,
) -> Agreement:  # fmt: skip
    """One answer beside another."""
    measured = Measured(meant=meant)
    try:
        measured.add(task, want, got)
    except ValueError as error:
        return replace(_result(measured, ()), state="failed", reason=str(error))
    return _judged(_result(measured, ()), precision, tolerances)


def _judged(result: Agreement, precision: str, tolerances: Mapping[str, float] | None) -> Agreement:
    reason = outside(result, {**BOUNDS[precision], **(tolerances or {})})
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


def _result(measured: Measured, tried: Sequence[str]) -> Agreement:
    seen, total = (sum(column) for column in zip(*measured.boxes, strict=True)) if measured.boxes else (0, 0)
    return Agreement(
        "verified",
        inputs=", ".join(dict.fromkeys(tried)),
        outputs=tuple(measured.differences.values()),
        top1=float(np.mean(measured.decisions)) if measured.decisions else None,
        boxes=(seen / total if total else 1.0) if measured.boxes else None,
    )


def _same_class(want: Array, got: Array) -> list[bool]:
    """Row by row whether both decide for one class; two scores of the original that are as good as equal are a tie."""
    rows = np.arange(len(want))
    chosen = got.argmax(axis=1)
    short = want.max(axis=1) - want[rows, chosen]
    return list((short <= _TIE * np.abs(want).max(axis=1)).tolist())


def trials(
    tensors: Sequence[Tensor], samples: Sequence[Inputs], *, batches: Sequence[int], sizes: Sequence[int] = ()
) -> Iterator[tuple[str, Inputs]]:
    """What to compare on: the samples, also joined to every batch size; without samples, made-up inputs.

    `batches` are empty where the model has no batch axis; `sizes` are what its other dynamic dimensions are tried at.
    """
    if samples:
        for sample in samples:
            yield number_of(len(samples), "sample"), sample
        for batch in batches:
            if joined := _joined(samples, batch):
                yield f"batch {batch} of them", joined
        return
    for seed in range(SEEDS):
        for arrays in guesses(tensors, batch=1 if batches else None, seed=seed):
            yield f"{SEEDS} made-up inputs", arrays
    for batch in batches:
        for arrays in guesses(tensors, batch=batch, seed=batch):
            yield f"batch {batch}", arrays
    for size in sizes:
        yield f"dynamic dimensions of {size}", synthesize(tensors, batch=1 if batches else None, size=size)


def _joined(samples: Sequence[Inputs], batch: int) -> Inputs | None:
    """`batch` rows of the samples, repeated where they are too few; None where they do not stack."""
    try:
        rows = {name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]}
        return {name: np.resize(array, (batch, *array.shape[1:])) for name, array in rows.items()}
    except (ValueError, KeyError):
        return None
