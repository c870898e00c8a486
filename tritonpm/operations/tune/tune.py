"""The use case of tuning: the best settings of a package on this machine, found on a server of our own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import psutil

from tritonpm.core.errors import BusyError, ServerError, UsageError
from tritonpm.hardware import target
from tritonpm.operations.perf.bench import private
from tritonpm.operations.perf.measure import machine
from tritonpm.operations.tune.arena import Arena
from tritonpm.operations.tune.variants import Variants
from tritonpm.perf import tool
from tritonpm.perf.measurement import Load
from tritonpm.repository.config import instances
from tritonpm.settings.changes import batchable
from tritonpm.triton import embedded
from tritonpm.tune.journal import Journal
from tritonpm.tune.pareto import Row, Tuned, front
from tritonpm.tune.reading import OBJECTIVES, Goal
from tritonpm.tune.search import Search, Standing, optimiser
from tritonpm.tune.space import DEPTHS, MOST_IN_FLIGHT, Candidate, Space, Variant, settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from tritonpm.catalogue import Record
    from tritonpm.operations.switch import Switching
    from tritonpm.operations.views import Loaded
    from tritonpm.settings.settings import Settings

USER = "tritonpm tune"  # what the package is in use by, meanwhile
_GRACE = 120.0  # seconds beyond the budget after which a search that was killed uses it no more
Tell = Callable[[Candidate, Standing | None], None]


@dataclass(frozen=True)
class Wish:
    """What to look for. Times are seconds, accuracy is a share of 1, a price is of the machine and an hour."""

    objective: str = "throughput"
    max_p99: float | None = None
    min_accuracy: float | None = None
    precisions: tuple[str, ...] = ()  # (): those that can pay
    concurrency: int | None = None  # what clients have in flight; None: as much as keeps the settings busy
    batch: int = 1  # rows of a request
    protocol: str = "grpc"
    price: float | None = None


class Tuning:
    """The searches of a workspace; what they measured is kept, so that they go on where they stopped."""

    def __init__(self, switching: Switching) -> None:
        self.switching, self.context = switching, switching.manager

    def tune(
        self, name: str, wish: Wish, *, budget: float = 300.0, again: bool = False,
        tell: Tell = lambda candidate, best: None,
    ) -> Tuned:  # fmt: skip
        """Find the best settings of a package within `budget` seconds; nothing of it is changed.

        Raises NotFoundError, UsageError, RequirementError, BusyError, ServerError where nothing could be measured.
        """
        if wish.objective not in OBJECTIVES:
            raise UsageError(f"there is no objective {wish.objective!r}", do=f"use one of {', '.join(OBJECTIVES)}")
        optimiser()  # what it lacks is told before anything is converted
        record = self.context.catalogue.get(name)
        with self._used(name, budget):
            return self._found(record, wish, self._journal(record, wish, again), budget, tell)

    def apply(self, tuned: Tuned) -> Loaded | None:
        """Switch to what is recommended, live; None where the package is not loaded. Raises BusyError, ServerError."""
        if self.context.catalogue.get(tuned.package).settings != tuned.before:
            raise BusyError("was changed since it was tuned", where=tuned.package, do="tune it again")
        return self.switching.replace(tuned.package, tuned.settings)

    def _found(self, record: Record, wish: Wish, journal: Journal, budget: float, tell: Tell) -> Tuned:
        began, known = time.monotonic(), len([entry for entry in journal.entries if entry.reading])
        deadline = began + budget - journal.spent
        variants = Variants(self.context, record, lambda: deadline - time.monotonic(), wish.min_accuracy)
        space, goal = self._space(record, wish, variants), _goal(record, wish)
        search = Search(space, goal, journal, budget=budget, began=began, tell=tell)
        if not search.ended:
            with private(self.context, record.package) as bench:
                load = Load(batch=wish.batch, protocol=wish.protocol)
                search.run(Arena(bench, record, load, variants.prove), _first(space, goal, record))
        return _tuned(record, wish, search, variants, known)

    def _space(self, record: Record, wish: Wish, variants: Variants) -> Space:
        """What may be tried; the conversions that it needs are made and proved on the way. Raises UsageError."""
        package, axes, own = record.package, batch_axes(self.context, record.package), record.settings.for_stage
        batched = {
            stage.name: own(stage.name).max_batch_size
            for stage in package.stages
            if batchable(package, stage.name, axes[stage.name])
        }
        if wish.batch > 1 and len(batched) < len(package.stages):
            raise UsageError(f"{package.name} takes one inference a request", do="leave --batch-size out")
        made: dict[str, tuple[Variant, ...]] = {}
        for stage in package.stages:
            with self.context.progress(f"Converting {stage.name}"):
                made[stage.name] = variants.of(stage, wish.precisions)
        if lacking := [stage for stage, listed in made.items() if not listed]:
            why = "; ".join(variants.refused) or "no precision is left"
            raise UsageError(f"stage {lacking[0]} cannot be tuned: {why}", where=package.name)
        return Space(made, batched, target().cores, wish.batch, _in_flight(wish))

    @property
    def _folder(self) -> Path:
        return self.context.workspace.state / "tune"

    def _journal(self, record: Record, wish: Wish, again: bool) -> Journal:
        asked = (
            record.package.digest,
            record.settings,
            wish,
            machine(),
            tool.find().version,
            embedded.find(None).version,
        )
        return Journal.of(self._folder, record.package.name, asked, again=again)

    @contextmanager
    def _used(self, name: str, budget: float) -> Iterator[None]:
        """While the block runs nobody removes the package, sets it anew except live, or tunes it, too."""
        from filelock import FileLock, Timeout

        self._folder.mkdir(exist_ok=True)
        try:
            with FileLock(self._folder / f"{name}.lock", timeout=0):
                use(self.context, name, USER, budget + _GRACE)
                try:
                    yield
                finally:
                    release(self.context, name, USER)
        except Timeout:
            raise BusyError(f"{name} is being tuned", do="wait until that is done") from None


def _goal(record: Record, wish: Wish) -> Goal:
    memory, cores = psutil.virtual_memory().total, target().cores
    limit = wish.max_p99 * 1e6 if wish.max_p99 is not None else None
    return Goal(wish.objective, cores, memory, limit, wish.price, record.settings.on_gpu)


def _in_flight(wish: Wish) -> int | None:
    return wish.concurrency or (1 if wish.objective == "latency" else None)


def _first(space: Space, goal: Goal, record: Record) -> list[Candidate]:
    """The settings as they are, and each variant once."""
    alone = goal.objective == "latency"
    lanes = sum(instances(record.settings.for_stage(name), target(), record.package) for name in space.variants)
    now = Candidate((), space.in_flight or min(MOST_IN_FLIGHT, DEPTHS[-1] * lanes))
    return [now, *space.pilots(alone=alone)]


def _tuned(record: Record, wish: Wish, search: Search, variants: Variants, known: int) -> Tuned:
    """What a search has come to. Raises ServerError where nothing could be measured."""
    name, base, goal, journal = record.package.name, record.settings, search.goal, search.journal
    tried = [f"{each.candidate.words}: {each.refused}" for each in journal.entries if each.candidate and each.refused]
    refused = (*variants.refused, *tried)
    found = sorted(search.standings(), key=lambda each: (each.candidate != search.best, goal.rank(each.reading)))
    if not found:
        why = (*refused, journal.ended)[0]
        raise ServerError(f"nothing could be measured: {why}", where=name, do="give it a longer --budget")
    settings = [settings_of(each.candidate, base, wish.batch, cascade=record.package.cascade) for each in found]
    rights = [variants.accuracy(each) for each in settings]
    keeps = front(
        [(-each.reading.throughput, each.reading.p99, -right) for each, right in zip(found, rights, strict=True)]
    )
    changes = [_changes(base, each) for each in settings]
    rows = tuple(itertools.starmap(partial(_row, goal), zip(found, rights, keeps, changes, strict=True)))
    alike = (row for row in rows if not row.changes and row.in_flight == rows[0].in_flight)
    total = sum(each.measurements for each in found)
    return Tuned(
        name, wish.objective, wish.max_p99, journal.ended, journal.spent, total, rows, next(alike, None), base,
        settings[0], refused, known,
    )  # fmt: skip


def _changes(before: Settings, after: Settings) -> dict[str, object]:
    old, new = asdict(before), asdict(after)
    return {name: value for name, value in new.items() if value != old[name]}


def _row(goal: Goal, each: Standing, accuracy: float, pareto: bool, changes: dict[str, object]) -> Row:
    candidate, reading = each.candidate, each.reading
    return Row(
        candidate.words, reading.throughput, reading.p50, reading.p99, candidate.in_flight, goal.cost(reading),
        reading.memory, accuracy, goal.meets(reading), pareto, each.measurements, changes,
    )  # fmt: skip
