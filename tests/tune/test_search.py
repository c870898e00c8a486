"""The search on machines that are written down: bounds that hold, budgets that are kept, nothing measured twice."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tritonpm.tune import search as searching
from tritonpm.tune.cost import GAIN, CostModel
from tritonpm.tune.journal import Journal, JournalEntry
from tritonpm.tune.pareto import front
from tritonpm.tune.reading import Goal, Reading
from tritonpm.tune.search import Refused, Search
from tritonpm.tune.space import Candidate, Space, Variant

VARIANTS = (Variant("cpu", "none", "FP32"), Variant("cpu", "openvino", "FP32"), Variant("cpu", "openvino", "INT8"))
STAGES = ("a", "b")


@dataclass
class Machine:
    """Cores that do work: an inference takes so many CPU-seconds in each variant; `spare` of them are left to us."""

    work: dict[tuple[str, str], float]
    cores: int = 4
    spare: float = 1.0
    there: set[Candidate] = field(default_factory=set)
    measured: list[tuple[Candidate, float]] = field(default_factory=list)
    refuses: frozenset[str] = frozenset()
    stop_after: int | None = None

    def enter(self, candidate: Candidate) -> None:
        if any(variant.words in self.refuses for variant in candidate.variants):
            raise Refused("it is refused")
        self.there.add(candidate)

    def leave(self, candidate: Candidate) -> None:
        self.there.discard(candidate)

    def measure(self, candidate: Candidate, seconds: float) -> Reading:
        assert candidate in self.there
        if self.stop_after is not None and len(self.measured) >= self.stop_after:
            raise KeyboardInterrupt
        self.measured.append((candidate, seconds))
        return self.reading(candidate, seconds)

    def reading(self, candidate: Candidate, seconds: float = 1.0) -> Reading:
        choices = candidate.choices
        works = {stage: self.work[stage, choice.variant.words] for stage, choice in choices} or {"a": 0.05}
        lanes = [min(c.layout.lanes * c.layout.threads, self.cores) / works[stage] for stage, c in choices] or [1e9]
        rate = min(*lanes, self.cores / sum(works.values())) * self.spare
        latency = max(sum(works.values()), candidate.in_flight / rate) * 1e6
        return Reading(rate, latency, latency, works, 1 << 20, seconds)


def space(stages: int = 1, in_flight: int | None = None) -> Space:
    return Space(dict.fromkeys(STAGES[:stages], VARIANTS), dict.fromkeys(STAGES[:stages], 8), 4, 1, in_flight)


def goal(objective: str = "throughput", max_p99: float | None = None) -> Goal:
    return Goal(objective, 4, 1 << 34, max_p99)


def first(of: Space, *, alone: bool = False) -> list[Candidate]:
    return [Candidate((), of.in_flight or 2), *of.pilots(alone=alone)]


works = st.fixed_dictionaries({(s, v.words): st.floats(0.001, 0.2) for s in STAGES for v in VARIANTS})


@given(works, st.sampled_from(("throughput", "latency", "cost")), st.floats(0.1, 1.0))
def test_what_is_dropped_could_not_have_paid(work: dict[tuple[str, str], float], objective: str, spare: float) -> None:
    machine, of, wanted = (
        Machine(work, spare=spare),
        space(in_flight=1 if objective == "latency" else None),
        goal(objective),
    )
    model = CostModel(of)
    tried = first(of, alone=objective == "latency")[1:]
    for candidate in tried:
        model.learn(candidate, machine.reading(candidate))
    best = min((machine.reading(each) for each in tried), key=wanted.rank)
    for candidate in of.all():
        if model.hopeless(candidate, wanted, best):
            assert wanted.value(machine.reading(candidate)) > wanted.value(best) * (1 - 2 * GAIN)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("objective", ["throughput", "latency", "cost"])
def test_the_best_is_found_and_nothing_is_left(tmp_path: Path, objective: str, stages: int) -> None:
    listed = {(s, v.words): w for s in STAGES for v, w in zip(VARIANTS, (0.08, 0.04, 0.015), strict=True)}
    machine, of = Machine(listed), space(stages, in_flight=1 if objective == "latency" else None)
    search = Search(of, goal(objective), Journal(tmp_path / "j"), budget=60)
    search.run(machine, first(of, alone=objective == "latency"))
    assert search.best is not None
    assert {variant.words for variant in search.best.variants} == {"openvino INT8"}
    found = machine.reading(search.best)
    assert goal(objective).value(found) <= min(goal(objective).value(machine.reading(c)) for c in first(of)[1:])
    assert Candidate((), search.best.in_flight) in {each for each, _ in machine.measured}
    assert machine.there <= {search.best}


def test_a_limit_of_latency_comes_first(tmp_path: Path) -> None:
    machine, of = Machine({("a", v.words): 0.02 for v in VARIANTS}), space()
    limit = 25_000.0  # µs; at throughput alone each request would wait twice as long
    search = Search(of, goal(max_p99=limit), Journal(tmp_path / "j"), budget=60)
    search.run(machine, first(of))
    assert search.best is not None
    assert machine.reading(search.best).p99 <= limit
    assert machine.reading(search.best).throughput == pytest.approx(4 / 0.02)


def test_the_extreme_layouts_of_the_best_are_tried_before_the_end(tmp_path: Path) -> None:
    """That one request on all cores was never tried beside streams of one thread was seen on a real machine."""
    machine, of = Machine({("a", v.words): 0.02 for v in VARIANTS[:2]}), Space({"a": VARIANTS[1:2]}, {}, 4)
    search = Search(of, goal(), Journal(tmp_path / "j"), budget=60)
    search.run(machine, first(of))
    tried = {choice.layout.words for each, _ in machine.measured for _, choice in each.choices}
    assert {"1 instance × 4 threads", "1 instance × 4 streams × 1 thread", "4 instances × 1 thread"} <= tried


@given(st.floats(0.001, 2.0), st.integers(1, 16), st.sampled_from((1, 8)))
def test_no_request_waits_for_seconds(work: float, cores: int, rows: int) -> None:
    of = Space({"a": VARIANTS[:1]}, {"a": 8}, cores, rows)
    machine, model = Machine({("a", VARIANTS[0].words): work}, cores), CostModel(of)
    pilots = [*of.pilots(alone=False)]
    for pilot in pilots:
        model.learn(pilot, machine.reading(pilot))
        assert not model.slow(pilot)  # however slow the model is, something of it is measured
    for candidate in of.all():
        if not model.slow(candidate):
            alone = rows * work / min(cores, candidate.choices[0][1].layout.threads)
            assert candidate.in_flight * rows * work / cores <= max(0.5, 4 * alone) * 1.001


def test_less_load_is_tried_where_a_limit_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen against Model Analyzer: with two requests in flight nothing kept the limit, and one was never tried."""
    machine, of = Machine({("a", v.words): 0.1 for v in VARIANTS}), space()
    monkeypatch.setattr(searching, "_ASKS", 0)  # not left to the optimiser's chance
    monkeypatch.setattr(searching, "_COUNTABLE", 0)
    limit = 30_000.0  # µs; one request on all four cores takes 25 ms, and waits as long for another one
    search = Search(of, goal(max_p99=limit), Journal(tmp_path / "j"), budget=60)

    def reading(candidate: Candidate, seconds: float = 1.0) -> Reading:
        found = Machine.reading(machine, candidate, seconds)
        alone = max((0.1 / min(4, c.layout.threads) for _, c in candidate.choices), default=0.1) * 1e6
        return replace(found, p99=max(alone, candidate.in_flight / found.throughput * 1e6))

    machine.reading = reading  # type: ignore[method-assign]
    search.run(machine, first(of))
    assert search.best is not None
    assert reading(search.best).p99 <= limit


def test_no_time_no_measurements(tmp_path: Path) -> None:
    machine, of = Machine({("a", v.words): 0.02 for v in VARIANTS}), space()
    search = Search(of, goal(), Journal(tmp_path / "j"), budget=0)
    assert search.run(machine, first(of)) == searching.OVER
    assert machine.measured == []


def test_time_is_kept_to_tell_how_much_better_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Timed(Machine):
        def measure(self, candidate: Candidate, seconds: float) -> Reading:
            now[0] += seconds
            return super().measure(candidate, seconds)

    monkeypatch.setattr(searching.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(searching, "PATIENCE", 1000)
    machine, of = Timed({("a", v.words): 0.02 for v in VARIANTS}), space()
    search = Search(of, goal(), Journal(tmp_path / "j"), budget=60)
    assert search.run(machine, first(of)) == searching.OVER
    assert search.best is not None
    assert Candidate((), search.best.in_flight) in {each for each, _ in machine.measured}
    assert now[0] <= 60 + searching.RUNGS[-1]  # what began in time ends


def test_what_is_refused_drops_out(tmp_path: Path) -> None:
    machine = Machine({("a", v.words): 0.02 for v in VARIANTS}, refuses=frozenset({"openvino INT8"}))
    search = Search(space(), goal(), Journal(tmp_path / "j"), budget=60)
    search.run(machine, first(space()))
    assert search.best is not None
    assert not {"openvino INT8"} & {variant.words for each, _ in machine.measured for variant in each.variants}
    assert any(entry.refused == "it is refused" for entry in search.journal.entries)


@settings(max_examples=25)
@given(works, st.integers(0, 30))
def test_an_interrupted_search_goes_on(
    tmp_path_factory: pytest.TempPathFactory, work: dict[tuple[str, str], float], stop: int
) -> None:
    folder, of = tmp_path_factory.mktemp("tune"), space()
    machine = Machine(work, stop_after=stop)
    request = {"what": "is asked for"}
    with suppress(KeyboardInterrupt):
        Search(of, goal(), Journal.of(folder, "p", request, again=False), budget=60).run(machine, first(of))
    journal = Journal.of(folder, "p", request, again=False)
    assert len([entry for entry in journal.entries if entry.reading]) == len(machine.measured)
    after = Machine(work)
    search = Search(of, goal(), journal, budget=60)
    ended = search.run(after, first(of))
    assert ended
    entered_before = {each for each, _ in machine.measured}
    tried_anew = {each for each, seconds in after.measured if seconds == searching.RUNGS[0]} & entered_before
    assert len(tried_anew) <= 1 + len({entry.round for entry in journal.entries})  # but for the best, who defends
    best = search.standings()[0] if search.best is None else search.standing(search.best)
    assert best is not None
    assert Search(of, goal(), Journal.of(folder, "p", request, again=False), budget=60).ended == ended


@given(st.integers(0, 400))
def test_a_line_that_a_kill_has_cut_is_no_line(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal.of(folder, "p", 1, again=False)
    for number in range(3):
        journal.add(JournalEntry(Candidate((), number), reading=Reading(1.0, 2.0, 3.0, {"a": 0.1}, None, 0.5)))
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[: max(0, len(content) - cut)])
    opened = Journal.of(folder, "p", 1, again=False)
    assert opened.entries == journal.entries[: len(opened.entries)]
    assert len(opened.entries) == content[: max(0, len(content) - cut)].count(b"\n")
    opened.add(JournalEntry(None, ended="done"))
    assert Journal.of(folder, "p", 1, again=False).ended == "done"
    assert Journal.of(folder, "p", 2, again=False).entries == []
    assert Journal.of(folder, "p", 1, again=True).entries == []


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=12))
def test_the_front_is_beaten_by_none(points: list[tuple[int, ...]]) -> None:
    kept = [point for point, keeps in zip(points, front(points), strict=True) if keeps]
    assert kept
    for point in points:
        assert any(all(a <= b for a, b in zip(other, point, strict=True)) for other in kept)
    for point in kept:
        assert not any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)
