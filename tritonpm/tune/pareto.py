"""Which settings are worth a look: those that no other ones beat in everything that counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tritonpm.settings.settings import Settings


@dataclass(frozen=True)
class MeasuredSettings:
    """Settings that were measured. Latencies are µs, memory bytes; accuracy is agreement with the original, 0 to 1."""

    words: str
    throughput: float
    p50: float
    p99: float
    in_flight: int
    cost: float  # of a million inferences; see `Goal.cost`
    memory: int | None
    accuracy: float
    meets: bool  # the limit of the latency
    pareto: bool
    measurements: int
    changes: Mapping[str, object] = field(default_factory=dict)  # of the settings as they were
    p95: float | None = None  # None where an earlier tritonpm measured it


@dataclass(frozen=True)
class Tuned:
    """What a search found; `rows` are all that was measured, the best first."""

    package: str
    objective: str
    max_p99: float | None
    ended: str
    seconds: float
    measurements: int
    rows: tuple[MeasuredSettings, ...]
    now: MeasuredSettings | None  # the settings as they are, under the same load as the best
    before: Settings
    settings: Settings  # what is recommended
    refused: tuple[str, ...]
    known: int = 0  # measurements of an earlier run that this one went on from

    @property
    def best(self) -> MeasuredSettings:
        """What is recommended."""
        return self.rows[0]


def front(points: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which points no other one beats: as small in every number, and smaller in one."""
    return [
        not any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)
        for point in points
    ]
