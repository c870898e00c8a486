"""A canary beside its package: what either answers to the same samples, and how they differ in settings and content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tritonpm.core.errors import TritonpmError
from tritonpm.operations.canary import canary_record, counterpart
from tritonpm.operations.diff import RevisionDifference, between
from tritonpm.operations.probe import ATOL, RTOL
from tritonpm.operations.sample_inputs import samples_of
from tritonpm.operations.seen import seen

if TYPE_CHECKING:
    from tritonpm.core.tensors import Array
    from tritonpm.operations.context import Context

MOST = 24  # samples that are asked


@dataclass(frozen=True)
class SampleAnswers:
    """What became of one sample (from 1): `alike` within the probe's tolerance, else the `output` that differs most.

    `ms` and `canary_ms` are what either took; `error` is why one did not answer.
    """

    sample: int
    alike: bool
    output: str = ""
    difference: float | None = None  # None: of other names, shapes or types
    ms: float | None = None
    canary_ms: float | None = None
    error: str = ""


@dataclass(frozen=True)
class CanaryComparison:
    """A package and its canary: `differences` in settings and content, `answers` to the package's samples."""

    package: str
    canary: str
    differences: tuple[RevisionDifference, ...]
    answers: tuple[SampleAnswers, ...] = ()


def compare_canary(context: Context, name: str, *, ask: bool = True) -> CanaryComparison:
    """A package beside its canary; `ask` both with the package's samples.

    Raises NotFoundError where it has no canary.
    """
    record, other = context.catalogue.get(name), canary_record(context, name)
    canary = other.package.name
    numbers = range(1, min(len(samples_of(record)), MOST) + 1) if ask else ()
    answers = tuple(_asked(context, name, canary, number) for number in numbers)
    return CanaryComparison(name, canary, between(record, other), answers)


def canary_of(context: Context, name: str) -> str:
    """The package that has a canary, of it or of its canary; "" where there is none."""
    return context.catalogue.get(name).canary_of or (name if counterpart(context, name) else "")


def _asked(context: Context, name: str, canary: str, number: int) -> SampleAnswers:
    took: list[float] = []
    answers: list[Mapping[str, Array]] = []
    for side in (name, canary):
        try:
            answer = seen(context, side, sample=number, of=name)
        except TritonpmError as error:
            return SampleAnswers(number, alike=False, error=f"{side}: {error.what}", ms=took[0] if took else None)
        answers.append(answer.answer)
        took.append(answer.ms)
    output, difference = _apart(*answers)
    return SampleAnswers(number, not output, output, difference, took[0], took[1])


def _apart(one: Mapping[str, Array], other: Mapping[str, Array]) -> tuple[str, float | None]:
    """The output that differs most, beyond the probe's tolerance, and by how much; ("", 0) where none does."""
    worst: tuple[str, float | None] = ("", 0.0)
    for name in (*one, *(name for name in other if name not in one)):
        if name not in one or name not in other or one[name].shape != other[name].shape:
            return name, None
        a, b = one[name], other[name]
        if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
            if not np.array_equal(a, b):
                return name, None
            continue
        left, right = a.astype(np.float64), b.astype(np.float64)
        if not np.allclose(left, right, rtol=RTOL, atol=ATOL, equal_nan=True):
            by = float(np.nanmax(np.abs(left - right)))
            if by >= (worst[1] or 0.0):
                worst = name, by
    return worst
