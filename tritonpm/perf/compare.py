"""Two sides measured in alternation: the ratio in each pair, and how sure its median is.

What else a shared machine does meets both sides of a pair alike, so the ratio says more than either figure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from tritonpm.core.errors import UsageError
from tritonpm.perf.measurement import Measurement, Workload

CONFIDENCE = 0.95
FEWEST_PAIRS = 6  # with fewer even the smallest and the largest ratio are no interval of 95 %


@dataclass(frozen=True)
class Ratio:
    """B against A: the median of the pairs and its confidence interval. Above 1, B has more of it."""

    measure: str
    a: float  # medians
    b: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What was compared, under which load, in how many pairs."""

    a: str
    b: str
    load: Workload
    pairs: int
    ratios: tuple[Ratio, ...]

    @property
    def throughput(self) -> Ratio:
        """The ratio that decides."""
        return self.ratios[0]


@dataclass(frozen=True)
class GateVerdict:
    """Whether B is slower than A by more than was allowed: `state` is passed, failed or undecided."""

    state: str
    sentence: str
    comparison: Comparison


# What is compared of a measurement.
_MEASURES: tuple[tuple[str, Callable[[Measurement], float]], ...] = (
    ("throughput", lambda measurement: measurement.throughput),
    ("latency p50", lambda measurement: measurement.latency.p50),
    ("latency p99", lambda measurement: measurement.latency.p99),
)


def in_alternation(
    a: Callable[[], Measurement], b: Callable[[], Measurement], pairs: int, tell: Callable[[int, int], None]
) -> list[tuple[Measurement, Measurement]]:
    """Measure A and B in pairs, A first in one and B first in the next, so that a drift favours neither.

    `tell` gets how many pairs of how many are done.
    """
    measured = []
    for number in range(pairs):
        if number % 2:
            second, first = b(), a()
        else:
            first, second = a(), b()
        measured.append((first, second))
        tell(len(measured), pairs)
    return measured


def comparison(a: str, b: str, load: Workload, pairs: Sequence[tuple[Measurement, Measurement]]) -> Comparison:
    """What pairs say of two sides."""
    ratios = tuple(
        ratio_of(name, [of(first) for first, _ in pairs], [of(second) for _, second in pairs]) for name, of in _MEASURES
    )
    return Comparison(a, b, load, len(pairs), ratios)


def judged(comparison: Comparison, most: float) -> GateVerdict:
    """A regression beyond `most` (0.05 is 5 %) fails, one within it passes, an interval around it decides nothing."""
    ratio, least = comparison.throughput, 1 - most
    sure = f"({ratio.low:.1%} to {ratio.high:.1%})"
    sentence = f"{comparison.b} has {ratio.ratio:.1%} of the throughput of {comparison.a} {sure}"
    if ratio.high < least:
        return GateVerdict("failed", f"{sentence}, a regression of more than {most:.1%}", comparison)
    if ratio.low >= least:
        return GateVerdict("passed", f"{sentence}, no regression of more than {most:.1%}", comparison)
    return GateVerdict("undecided", f"{sentence}: the noise is larger than what is asked about", comparison)


def percentage(text: str) -> float:
    """`5%` and `0.05` are 0.05. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else 1.0
    if value >= 1:
        raise UsageError(f"{text!r} is not a share below 100 %", do="write 5% or 0.05")
    return value


def ratio_of(measure: str, a: Sequence[float], b: Sequence[float]) -> Ratio:
    """What pairs of figures say of one measure. Raises ValueError where they are too few for an interval."""
    ratios = [second / first if first else math.inf for first, second in zip(a, b, strict=True)]
    return Ratio(measure, median(a), median(b), median(ratios), *interval(ratios))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the median lies, as sure as `CONFIDENCE`, whatever the noise looks like: two of the values themselves.

    Each value is above the true median with probability 1/2, so how many are is binomial. Raises ValueError where they
    are too few.
    """
    count, outside, below = len(values), 0.0, 0
    while True:
        outside += 2 * math.comb(count, below) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        below += 1
    if not below:
        raise ValueError(f"{count} values give no interval")
    ordered = sorted(values)
    return ordered[below - 1], ordered[count - below]
