"""What one measurement of a candidate says, and what a good one is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tritonpm.perf.figures import cost_per_million

OBJECTIVES = ("throughput", "latency", "cost")
_PENALTY = 4.0  # times the logarithm of how far a limit is exceeded: what the optimiser is told of such a candidate


@dataclass(frozen=True)
class Reading:
    """Inferences/s; latencies in µs; CPU-seconds of an inference by stage; bytes; the seconds that were measured.

    `p95` is None in a journal of an earlier tritonpm, which did not keep it.
    """

    throughput: float
    p50: float
    p99: float
    work: Mapping[str, float]
    memory: int | None
    seconds: float
    p95: float | None = None

    @property
    def busy(self) -> float:
        """Cores that the server kept busy."""
        return self.throughput * sum(self.work.values())


def mean(readings: Iterable[Reading]) -> Reading:
    """One reading for several, each counted by its seconds."""
    listed = list(readings)
    last, seconds = listed[-1], sum(reading.seconds for reading in listed)

    def of(values: Iterable[float]) -> float:
        return sum(value * reading.seconds for value, reading in zip(values, listed, strict=True)) / seconds

    known = [reading.p95 for reading in listed if reading.p95 is not None]
    return Reading(
        of(reading.throughput for reading in listed),
        of(reading.p50 for reading in listed),
        of(reading.p99 for reading in listed),
        {stage: of(reading.work[stage] for reading in listed) for stage in last.work},
        last.memory,
        seconds,
        of(known) if len(known) == len(listed) else None,
    )


@dataclass(frozen=True)
class Goal:
    """What is looked for, on what machine: cores, bytes of memory, the price of an hour, whether on a GPU."""

    objective: str
    cores: int
    memory: int
    max_p99: float | None = None  # µs
    price: float | None = None
    gpu: bool = False

    def cost(self, reading: Reading) -> float:
        """Of a million inferences: the price of the share of the machine that they occupy; hours of it without a price.

        The share is that of the cores or of the memory, whichever is larger; a GPU is taken whole.
        """
        memory = (reading.memory or 0) / self.memory
        share = 1.0 if self.gpu else min(1.0, max(reading.busy / self.cores, memory))
        return (cost_per_million(self.price or 1.0, reading.throughput) or math.inf) * share

    def meets(self, reading: Reading) -> bool:
        """Whether the limit of the latency is kept."""
        return self.max_p99 is None or reading.p99 <= self.max_p99

    def value(self, reading: Reading) -> float:
        """What is to be small."""
        if self.objective == "throughput":
            return 1 / max(reading.throughput, 1e-9)
        return reading.p99 if self.objective == "latency" else self.cost(reading)

    def rank(self, reading: Reading) -> tuple[bool, float]:
        """The smaller the better: what keeps the limit first; of the others, what exceeds it least."""
        meets = self.meets(reading)
        return not meets, self.value(reading) if meets else reading.p99

    def loss(self, reading: Reading) -> float:
        """The same as one number for an optimiser; differences are ratios."""
        over = 0.0 if self.meets(reading) else math.log(reading.p99 / (self.max_p99 or reading.p99))
        return math.log(self.value(reading)) + _PENALTY * over
