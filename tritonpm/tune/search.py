"""The search: an optimiser proposes, the cost model drops what cannot pay, and the rest compete in rounds.

In a round the best so far and a few challengers are measured in turn, briefly, then the better half of them again and
longer (successive halving). They meet the same conditions, so that noise of the machine does not decide; what is
carried from round to round are ratios to the best, which defends its place to the end of each.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from tritonpm.core.extras import needed
from tritonpm.tune.cost import GAIN, CostModel
from tritonpm.tune.journal import Journal, JournalEntry
from tritonpm.tune.reading import Goal, Reading, mean
from tritonpm.tune.space import Candidate, Space

if TYPE_CHECKING:
    from optuna.trial import Trial

RUNGS = (0.6, 1.8)  # seconds of measuring
CHALLENGERS = 3  # in a round
PATIENCE = 1  # rounds without a gain, after which no other is tried
_FINALISTS, _TIMES = 2, 2  # how many of those that are near to the best are measured beside it at the end, how often
_KEPT = 0.2  # of the budget, for measuring the best side by side at the end
_NEAR = 0.15  # a loss, the logarithm of a ratio
_ASKS = 200  # proposals for one round
_COUNTABLE = 4096  # candidates that are looked at one by one, where the optimiser proposes nothing new
_SEED = 0
OVER = "the time is over"


class Refused(Exception):  # noqa: N818
    """A candidate cannot be tried; the text says why."""


class Ground(Protocol):
    """Where candidates are tried."""

    def enter(self, candidate: Candidate) -> None:
        """Make it ready, beside those that are there. Raises Refused."""

    def measure(self, candidate: Candidate, seconds: float) -> Reading:
        """Put it under its load. Raises Refused."""

    def leave(self, candidate: Candidate) -> None:
        """Take it away, unless it is gone already."""


@dataclass(frozen=True)
class Standing:
    """A candidate with the mean of its longest measurements, those of the last round that had such."""

    candidate: Candidate
    reading: Reading
    measurements: int


class Search:
    """One search; all that it knows is in the journal. `budget` are seconds, those of earlier runs included.

    It `began` when `time.monotonic` was that: what was prepared for it is counted, too.
    """

    def __init__(
        self,
        space: Space,
        goal: Goal,
        journal: Journal,
        *,
        budget: float,
        began: float | None = None,
        tell: Callable[[Candidate, Standing | None], None] = lambda candidate, best: None,
    ) -> None:
        self.space, self.goal, self.journal, self.tell = space, goal, journal, tell
        self.began, self.budget = time.monotonic() if began is None else began, budget
        self.earlier, self.share = journal.spent, 1 - _KEPT
        self.model, self.study = CostModel(space), optimiser()
        self.asked: dict[Candidate, Trial] = {}
        self.losses: dict[Candidate, float] = {}
        self.best: Candidate | None = None
        self.known: set[Candidate] = set()
        self.round, self._marked = 0, self.began
        for entry in journal.entries:
            self._learn(entry)
        for number in sorted({entry.round for entry in journal.entries if entry.reading}):
            self._settle(number)
            self.round = number + 1

    @property
    def ended(self) -> str:
        """Why it ended before, "" where there is something left to do."""
        ended = self.journal.ended
        return "" if ended == OVER and not self.over else ended

    def run(self, ground: Ground, first: Sequence[Candidate]) -> str:
        """Try these first, then what is proposed, until more cannot pay or the budget is spent; why it ended."""
        self.ground, ended, fruitless = ground, self.ended, 0
        while not (ended := ended or (OVER if self.over else "")):
            challengers = [candidate for candidate in first if candidate not in self.known] or self._proposed()
            fruitless = 0 if challengers and self._compete(challengers) else fruitless + 1
            if not challengers:
                ended = f"no settings that were not measured can be {GAIN:.0%} better"
            elif fruitless >= PATIENCE and not self.over and not any(self._corners()):
                ended = f"the last {len(challengers)} that were tried brought less than {GAIN:.0%}"
        self.share = 1.0
        self._side_by_side([*self._as_it_is(), *self._close()], _TIMES)
        self._side_by_side(self._as_it_is())  # where another one has become the best
        self._add(JournalEntry(None, ended=ended))
        return ended

    @property
    def over(self) -> bool:
        """Whether the budget is spent, up to what is kept for the end."""
        return self.earlier + time.monotonic() - self.began >= self.budget * self.share

    def standings(self) -> list[Standing]:
        """Every candidate that was measured."""
        entries_of: dict[Candidate, list[JournalEntry]] = {}
        for entry in self.journal.entries:
            if entry.candidate is not None and entry.reading is not None:
                entries_of.setdefault(entry.candidate, []).append(entry)
        return [Standing(candidate, _longest(entries), len(entries)) for candidate, entries in entries_of.items()]

    def standing(self, candidate: Candidate | None) -> Standing | None:
        """One of them."""
        return next((standing for standing in self.standings() if standing.candidate == candidate), None)

    # A round

    def _leading(self) -> Standing | None:
        """Who is best in this round until now, else the best of the one before."""
        rungs = self._rungs(self.round)
        return self.standing(self._first_of(rungs) if rungs else self.best)

    def _compete(self, challengers: Sequence[Candidate]) -> bool:
        """One round; whether the best is another one afterwards, and better by what pays."""
        before = self.best
        present = [
            candidate for candidate in (*((before,) if before else ()), *challengers) if self._entered(candidate)
        ]
        for rung, seconds in enumerate(RUNGS):
            readings = self._measured(present, rung, seconds)
            ranked = sorted(readings, key=lambda candidate: self.goal.rank(readings[candidate]))
            kept = [
                candidate for candidate in ranked if candidate in ranked[: -(-len(present) // 2)] or candidate == before
            ]
            for candidate in set(present).difference(kept):
                self.ground.leave(candidate)
            present = kept
            if self.over or not present:
                break
        gained = self._settle(self.round)
        self.round += 1
        for candidate in present:
            if candidate != self.best:
                self.ground.leave(candidate)
        return gained

    def _close(self) -> list[Candidate]:
        """Those that are nearly as good as the best, the best of them first: chance may have decided."""
        most = self.losses[self.best] + _NEAR if self.best else 0.0
        near = {candidate: loss for candidate, loss in self.losses.items() if loss < most and candidate != self.best}
        return sorted(near, key=near.__getitem__)[:_FINALISTS]

    def _as_it_is(self) -> list[Candidate]:
        """The settings as they are under the load of the best, unless known: only that tells how much better it is."""
        unknown = [Candidate((), self.best.in_flight)] if self.best else []
        return [candidate for candidate in unknown if candidate not in self.known]

    def _side_by_side(self, others: Sequence[Candidate], times: int = 1) -> None:
        """The best and others, measured in turn as long as the last ones of a round, so many times."""
        if self.best is None or not others:
            return
        present = [candidate for candidate in (self.best, *others) if self._entered(candidate)]
        for time_ in range(times):
            self._measured(present, len(RUNGS) - 1 + time_, RUNGS[-1])
        self._settle(self.round)
        self.round += 1
        for candidate in set(present) - {self.best}:
            self.ground.leave(candidate)

    def _entered(self, candidate: Candidate) -> bool:
        self.tell(candidate, self._leading())
        if self.over:
            return False
        try:
            self.ground.enter(candidate)
        except Refused as refusal:
            self._add(JournalEntry(candidate, self.round, refused=str(refusal)))
            return False
        return True

    def _measured(self, present: Sequence[Candidate], rung: int, seconds: float) -> dict[Candidate, Reading]:
        """One after the other; those that fail drop out."""
        readings: dict[Candidate, Reading] = {}
        for candidate in present:
            if self.over and readings:
                break
            self.tell(candidate, self._leading())
            try:
                readings[candidate] = self.ground.measure(candidate, seconds)
            except Refused as refusal:
                self._add(JournalEntry(candidate, self.round, rung, refused=str(refusal)))
                continue
            self._add(JournalEntry(candidate, self.round, rung, readings[candidate]))
        return readings

    def _settle(self, number: int) -> bool:
        """Take from a round's measurements who is best, and tell the optimiser; whether that is a gain."""
        rungs = self._rungs(number)
        if not rungs:
            return False
        held, before = self.best, self.losses.get(self.best, 0.0) if self.best else 0.0
        best = self._first_of(rungs)
        base = held if held in rungs else best
        for candidate, readings in rungs.items():
            loss = self._loss(readings, rungs[base])
            self.losses[candidate] = loss + (before if base == held else self.goal.loss(mean(rungs[base].values())))
            self._told(candidate)
        better = held is None or self.losses[best] < before
        self.best = best if better or held in rungs else held  # who could not defend its place keeps it
        return held is None or base != held or max(self._losses(rungs[best], rungs[base])) < -GAIN

    def _loss(self, readings: Mapping[int, Reading], base: Mapping[int, Reading]) -> float:
        """Against another candidate, over all rungs in which both were."""
        both = sorted({*readings} & {*base})
        mine, its = (self.goal.loss(mean(side[rung] for rung in both)) for side in (readings, base))
        return mine - its

    def _losses(self, readings: Mapping[int, Reading], base: Mapping[int, Reading]) -> list[float]:
        """Against another candidate, in each of the rungs in which both were."""
        return [self.goal.loss(readings[rung]) - self.goal.loss(base[rung]) for rung in sorted({*readings} & {*base})]

    def _rungs(self, number: int) -> dict[Candidate, dict[int, Reading]]:
        """What was measured in a round, by candidate and rung."""
        rungs: dict[Candidate, dict[int, Reading]] = {}
        for entry in self.journal.entries:
            if entry.round == number and entry.candidate is not None and entry.reading is not None:
                rungs.setdefault(entry.candidate, {})[entry.rung] = entry.reading
        return rungs

    def _first_of(self, rungs: Mapping[Candidate, Mapping[int, Reading]]) -> Candidate:
        """The best of those that came furthest."""
        return min(
            rungs, key=lambda candidate: (-max(rungs[candidate]), self.goal.rank(mean(rungs[candidate].values())))
        )

    # The optimiser

    def _proposed(self) -> list[Candidate]:
        """Candidates that were not tried and may pay, as many as compete in a round: the corners first."""
        if corners := [other for other, _ in zip(self._corners(), range(CHALLENGERS), strict=False)]:
            return corners
        best = self._at_its_best(self.best)
        left = [other for other in self.space.all() if self._open(other, best)] if self._countable else None
        proposals: list[Candidate] = []
        for _ in range(_ASKS if left is None or len(left) > CHALLENGERS else 0):
            trial = self.study.ask()
            candidate = self.space.suggested(trial)
            if candidate in self.known or candidate in proposals:
                self.study.tell(trial, state=_state("FAIL"))
            elif not self._open(candidate, best):
                self.study.tell(trial, state=_state("PRUNED"))
            else:
                self.asked[candidate] = trial
                proposals.append(candidate)
            if len(proposals) == CHALLENGERS:
                break
        others = (other for other in left or () if other not in proposals)
        return [*proposals, *(other for other, _ in zip(others, range(CHALLENGERS - len(proposals)), strict=False))]

    def _corners(self) -> Iterator[Candidate]:
        """The extreme layouts of what is nearly as good as the best that was chosen, where they may pay."""
        best, seen, limited = self._at_its_best(self.best), set[Candidate](), self.goal.max_p99 is not None
        chosen = {candidate: loss for candidate, loss in self.losses.items() if candidate.choices}
        least = min(chosen.values(), default=0.0)
        for candidate in sorted(chosen, key=chosen.__getitem__):
            if chosen[candidate] < least + _NEAR:
                for corner in self.space.corners(candidate, shallow=limited):
                    if corner not in seen and self._open(corner, best):
                        yield corner
                    seen.add(corner)

    @property
    def _countable(self) -> bool:
        return self.space.size() <= _COUNTABLE

    def _open(self, candidate: Candidate, best: Reading | None) -> bool:
        if candidate in self.known or self.model.slow(candidate):
            return False
        return not (best and self.model.hopeless(candidate, self.goal, best))

    def _at_its_best(self, candidate: Candidate | None) -> Reading | None:
        """The best of a candidate's measurements: the cost model, too, reckons with the machine at its best."""
        readings = [entry.reading for entry in self.journal.entries if entry.candidate == candidate and entry.reading]
        return min(readings, key=self.goal.rank, default=None)

    def _told(self, candidate: Candidate) -> None:
        """Tell the optimiser what became of a candidate, its own proposal or not."""
        if not candidate.choices:
            return
        trial = self.asked.pop(candidate, None)
        if trial is None:
            self.study.enqueue_trial(self.space.params(candidate))
            trial = self.study.ask()
            self.space.suggested(trial)
        self.study.tell(trial, self.losses[candidate])

    # The journal

    def _add(self, entry: JournalEntry) -> None:
        now = time.monotonic()
        entry = replace(entry, spent=now - self._marked)
        self._marked = now
        self.journal.add(entry)
        self._learn(entry)

    def _learn(self, entry: JournalEntry) -> None:
        if entry.candidate is not None:
            self.known.add(entry.candidate)
            if entry.reading is not None:
                self.model.learn(entry.candidate, entry.reading)


def optimiser() -> Any:
    """What proposes candidates. Raises RequirementError without Optuna."""
    with needed("tuning", "perf"):
        import optuna
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=_SEED, n_startup_trials=CHALLENGERS, multivariate=True)
    return optuna.create_study(sampler=sampler)


def _longest(entries: Sequence[JournalEntry]) -> Reading:
    """The mean of the longest readings among a candidate's, of the last round that has them."""
    most = max(entry.reading.seconds for entry in entries if entry.reading)
    long = [entry for entry in entries if entry.reading and entry.reading.seconds == most]
    return mean(entry.reading for entry in long if entry.reading and entry.round == long[-1].round)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
