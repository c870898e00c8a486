"""What a candidate can reach at best, from the work that an inference was seen to take: what cannot pay is dropped.

Work is CPU time, which a neighbour on the machine changes far less than it changes throughput. Nothing is predicted of
a stage that runs on a GPU, or of a variant that was not measured yet: there the sky is the limit.
"""

from __future__ import annotations

import math

from tritonpm.settings.settings import GROWTH
from tritonpm.tune.reading import Goal, Reading
from tritonpm.tune.space import Candidate, Choice, Space

GAIN = GROWTH - 1  # what is less of an improvement does not pay
_SLACK = 0.95  # so much less work than was seen may an inference take in another layout,
_BATCHING = 0.75  # in a larger batch,
_SPINNING = 0.5  # and where it was seen with several threads, which wait for each other by spinning
_PATIENCE, _QUEUED = 0.5, 4.0  # seconds, and times what it takes alone: where requests wait longer is not measured
_LEAST = 1e-9  # CPU-seconds: what is too short for the clock
_MORE = 1.05  # times the share of the machine that the server had at most until now


class CostModel:
    """Bounds for candidates of a space, from what was measured of others."""

    def __init__(self, space: Space) -> None:
        self.space, self.share = space, 0.0
        self.seen: dict[tuple[str, str], float] = {}
        self.work: dict[tuple[str, str], float] = {}  # that it may take at least
        self.batches: dict[tuple[str, str], int] = {}

    def learn(self, candidate: Candidate, reading: Reading) -> None:
        """Remember the least work of each stage's variant, and how much of the machine there was."""
        self.share = max(self.share, min(1.0, reading.busy / self.space.cores))
        for stage, choice in candidate.choices:
            if choice.variant.device != "cpu":
                continue
            key, work = (stage, choice.variant.words), max(reading.work[stage], _LEAST)
            self.seen[key] = min(work, self.seen.get(key, math.inf))
            work *= _SPINNING if choice.layout.threads > 1 else 1.0
            self.work[key] = min(work, self.work.get(key, math.inf))
            self.batches[key] = max(choice.batch, self.batches.get(key, 1))

    def throughput(self, candidate: Candidate) -> float:
        """Inferences/s that it does not exceed."""
        works = self._works(candidate)
        if not works:
            return math.inf
        cores, share = self.space.cores, min(1.0, self.share * _MORE)
        stages = [min(choice.layout.lanes * choice.layout.threads, cores) / work for choice, work in works]
        return share * min(*stages, cores / sum(work for _, work in works))

    def latency(self, candidate: Candidate) -> float:
        """µs below which no request stays, on average, with so many in flight; 0 where nothing is known."""
        queued = candidate.in_flight / self.throughput(candidate)
        return max(self._alone(candidate), queued * self.space.rows) * 1e6

    def slow(self, candidate: Candidate) -> bool:
        """Whether requests would wait for so long that to measure it takes more time than it is worth."""
        waited = candidate.in_flight * self.space.rows * self._seen(candidate) / self.space.cores
        return waited > max(_PATIENCE, _QUEUED * self._alone(candidate))

    def hopeless(self, candidate: Candidate, goal: Goal, best: Reading) -> bool:
        """Whether it cannot be better than the best by what pays, or cannot keep the limit."""
        latency = self.latency(candidate)
        if goal.max_p99 is not None and latency > goal.max_p99:
            return True
        if not goal.meets(best):
            return False
        if goal.objective == "throughput":
            return self.throughput(candidate) < best.throughput * (1 + GAIN)
        if goal.objective == "latency":
            return latency > best.p99 * (1 - GAIN)
        works = self._works(candidate)
        least = Reading(1.0, 0.0, 0.0, {str(i): work for i, (_, work) in enumerate(works)}, None, 0.0)
        return bool(works) and goal.cost(least) > goal.cost(best) * (1 - GAIN)

    def _seen(self, candidate: Candidate) -> float:
        """CPU-seconds that an inference took, as far as it was seen."""
        return sum(self.seen.get((stage, choice.variant.words), 0.0) for stage, choice in candidate.choices)

    def _alone(self, candidate: Candidate) -> float:
        """Seconds that a request takes at least with nobody before it."""
        works = self._works(candidate)
        return self.space.rows * sum(work / min(choice.layout.threads, self.space.cores) for choice, work in works)

    def _works(self, candidate: Candidate) -> list[tuple[Choice, float]]:
        """Each choice with the least CPU-seconds that an inference may take in it; [] where one is not known."""
        known = []
        for stage, choice in candidate.choices:
            key = (stage, choice.variant.words)
            if key not in self.work:
                return []
            batching = _BATCHING if choice.batch > self.batches[key] else 1.0
            known.append((choice, self.work[key] * _SLACK * batching))
        return known
