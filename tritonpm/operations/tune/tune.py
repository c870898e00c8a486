"""`tritonpm tune`: the best settings of a package on this machine, found on a private server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psutil

from tritonpm.core.errors import BusyError, ServerError, UsageError
from tritonpm.operations.audit import audited
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.perf.bench import private
from tritonpm.operations.perf.results import machine
from tritonpm.operations.switch import replace_settings
from tritonpm.operations.tune.arena import Arena
from tritonpm.operations.tune.variants import Variants
from tritonpm.operations.tuned import folder
from tritonpm.operations.use import release, use
from tritonpm.perf import tool
from tritonpm.perf.measurement import Workload
from tritonpm.repository.config import instances
from tritonpm.settings.changes import batchable, only_declared
from tritonpm.triton import embedded
from tritonpm.tune.journal import Journal
from tritonpm.tune.kept import keep
from tritonpm.tune.pareto import MeasuredSettings, Tuned, front
from tritonpm.tune.reading import OBJECTIVES, Goal
from tritonpm.tune.search import Search, Standing, optimiser
from tritonpm.tune.space import DEPTHS, MOST_IN_FLIGHT, Candidate, Space, Variant, settings_of

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context
    from tritonpm.operations.load import Loaded
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


def tune(
    context: Context, name: str, wish: Wish, *, budget: float = 300.0, again: bool = False,
    tell: Tell = lambda candidate, best: None,
) -> Tuned:  # fmt: skip
    """Find the best settings of a package within `budget` seconds; nothing of it is changed.

    What is measured is kept, so that a search that was interrupted goes on where it stopped, unless it is done `again`.
    Raises NotFoundError, UsageError, RequirementError, BusyError, ServerError where nothing could be measured.
    """
    if wish.objective not in OBJECTIVES:
        raise UsageError(f"there is no objective {wish.objective!r}", do=f"use one of {', '.join(OBJECTIVES)}")
    optimiser()  # what it lacks is told before anything is converted
    record = context.catalogue.get(name)
    with _used(context, name, budget):
        tuned = _searched(context, record, wish, _journal(context, record, wish, again), budget, tell)
        keep(folder(context), record.package.digest, tuned)
        return tuned


@audited("tune")
def apply_tuned(context: Context, tuned: Tuned) -> Loaded | None:
    """Switch to what is recommended, live; None where the package is not loaded. Raises BusyError, ServerError."""
    if context.catalogue.get(tuned.package).settings != tuned.before:
        raise BusyError("was changed since it was tuned", where=tuned.package, do="tune it again")
    return replace_settings(context, tuned.package, tuned.settings)


def _searched(context: Context, record: Record, wish: Wish, journal: Journal, budget: float, tell: Tell) -> Tuned:
    began, known = time.monotonic(), len([entry for entry in journal.entries if entry.reading])
    deadline = began + budget - journal.spent
    variants = Variants(context, record, lambda: deadline - time.monotonic(), wish.min_accuracy)
    space, goal = _space(context, record, wish, variants), _goal(context, record, wish)
    search = Search(space, goal, journal, budget=budget, began=began, tell=tell)
    if not search.ended:
        with private(context, record.package) as bench:
            load = Workload(batch=wish.batch, protocol=wish.protocol)
            search.run(Arena(bench, record, load, variants.prove), _first(context, space, goal, record))
    return _tuned(record, wish, search, variants, known)


def _space(context: Context, record: Record, wish: Wish, variants: Variants) -> Space:
    """What may be tried; the conversions that it needs are made and proved on the way. Raises UsageError."""
    package, axes, own = record.package, batch_axes(context, record.package), record.settings.for_stage
    batched = {
        stage.name: own(stage.name).max_batch_size
        for stage in package.stages
        if batchable(package, stage.name, axes[stage.name])
    }
    joined = {stage: most for stage, most in batched.items() if not only_declared(package, stage, axes[stage])}
    if wish.batch > 1 and len(batched) < len(package.stages):
        raise UsageError(f"{package.name} takes one inference a request", do="leave --batch-size out")
    variants_of: dict[str, tuple[Variant, ...]] = {}
    for stage in package.stages:
        with context.progress(f"Converting {stage.name}"):
            variants_of[stage.name] = variants.of(stage, wish.precisions)
    if lacking := [stage for stage, listed in variants_of.items() if not listed]:
        why = "; ".join(variants.refused) or "no precision is left"
        raise UsageError(f"stage {lacking[0]} cannot be tuned: {why}", where=package.name)
    return Space(variants_of, joined, context.target.cores, wish.batch, _in_flight(wish))


def _journal(context: Context, record: Record, wish: Wish, again: bool) -> Journal:
    versions = tool.find().version, embedded.find(None).version
    asked = (record.package.digest, record.settings, wish, machine(context), *versions)
    return Journal.of(folder(context), record.package.name, asked, again=again)


@contextmanager
def _used(context: Context, name: str, budget: float) -> Iterator[None]:
    """While the block runs nobody removes the package, sets it anew except live, or tunes it, too."""
    from filelock import FileLock, Timeout

    folder(context).mkdir(exist_ok=True)
    try:
        with FileLock(folder(context) / f"{name}.lock", timeout=0):
            use(context, name, USER, budget + _GRACE)
            try:
                yield
            finally:
                release(context, name, USER)
    except Timeout:
        raise BusyError(f"{name} is being tuned", do="wait until that is done") from None


def _goal(context: Context, record: Record, wish: Wish) -> Goal:
    memory, cores = psutil.virtual_memory().total, context.target.cores
    limit = wish.max_p99 * 1e6 if wish.max_p99 is not None else None
    return Goal(wish.objective, cores, memory, limit, wish.price, record.settings.on_gpu)


def _in_flight(wish: Wish) -> int | None:
    return wish.concurrency or (1 if wish.objective == "latency" else None)


def _first(context: Context, space: Space, goal: Goal, record: Record) -> list[Candidate]:
    """The settings as they are, and each variant once."""
    alone = goal.objective == "latency"
    settings = [record.settings.for_stage(name) for name in space.variants]
    lanes = sum(instances(own, context.target, record.package) for own in settings)
    now = Candidate((), space.in_flight or min(MOST_IN_FLIGHT, DEPTHS[-1] * lanes))
    return [now, *space.pilots(alone=alone)]


def _tuned(record: Record, wish: Wish, search: Search, variants: Variants, known: int) -> Tuned:
    """What a search has come to. Raises ServerError where nothing could be measured."""
    name, base, goal, journal = record.package.name, record.settings, search.goal, search.journal
    tried = [
        f"{entry.candidate.words}: {entry.refused}" for entry in journal.entries if entry.candidate and entry.refused
    ]
    refused = (*variants.refused, *tried)
    standings = sorted(
        search.standings(), key=lambda standing: (standing.candidate != search.best, goal.rank(standing.reading))
    )
    if not standings:
        why = (*refused, journal.ended)[0]
        raise ServerError(f"nothing could be measured: {why}", where=name, do="give it a longer --budget")
    settings = [settings_of(of.candidate, base, wish.batch, cascade=record.package.cascade) for of in standings]
    rows = _rows(goal, base, standings, settings, [variants.accuracy(own) for own in settings])
    alike = (row for row in rows if not row.changes and row.in_flight == rows[0].in_flight)
    total = sum(standing.measurements for standing in standings)
    return Tuned(
        name, wish.objective, wish.max_p99, journal.ended, journal.spent, total, rows, next(alike, None), base,
        settings[0], refused, known,
    )  # fmt: skip


def _rows(
    goal: Goal, base: Settings, standings: Sequence[Standing], settings: Sequence[Settings], accuracies: Sequence[float]
) -> tuple[MeasuredSettings, ...]:
    """What was measured, each with whether another one beats it."""
    readings = [standing.reading for standing in standings]
    unbeaten = front(
        [(-reading.throughput, reading.p99, -right) for reading, right in zip(readings, accuracies, strict=True)]
    )
    return tuple(
        MeasuredSettings(
            standing.candidate.words, reading.throughput, reading.p50, reading.p99, standing.candidate.in_flight,
            goal.cost(reading), reading.memory, accuracy, goal.meets(reading), pareto, standing.measurements,
            _changes(base, own), reading.p95,
        )
        for standing, reading, own, accuracy, pareto in zip(
            standings, readings, settings, accuracies, unbeaten, strict=True
        )
    )  # fmt: skip


def _changes(before: Settings, after: Settings) -> dict[str, object]:
    old, new = asdict(before), asdict(after)
    return {name: value for name, value in new.items() if value != old[name]}
