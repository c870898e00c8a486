"""`tritonpm optimize`: what the package had and what was made of it, measured side by side; what is better is kept.

Each is served by a Triton that nobody else uses and gets the same load in turn, window by window: what else the machine
does meets all alike, so that the ratio within each round counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tritonpm.convert.plan import ACCELERATED
from tritonpm.core.errors import OptimisationError, ServerError, TritonpmError
from tritonpm.operations.artefacts import stages
from tritonpm.operations.optimize.candidates import candidates, incomparable, is_automatic, what_it_had
from tritonpm.operations.optimize.decision import BEFORE, Decision, batching_words, best
from tritonpm.operations.optimize.workload import ComparisonRequest, Loads, loads_for
from tritonpm.operations.private_server import alone, place
from tritonpm.operations.probe import probe
from tritonpm.operations.render import trial_revision
from tritonpm.operations.sample_inputs import measuring_inputs
from tritonpm.operations.stage_inputs import JobCancelledError
from tritonpm.operations.summary import summary
from tritonpm.perf.closed_loop import throughput
from tritonpm.perf.compare import FEWEST_PAIRS, Comparison, ratio_of

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.tensors import Array
    from tritonpm.operations.context import Context
    from tritonpm.perf.measurement import Workload
    from tritonpm.settings.settings import Settings
    from tritonpm.triton.client import Client

SECONDS = 12.0  # of measuring, all of it together
ROUNDS = 15  # of one load: many short ones, since it is the number of ratios that narrows their interval
_SHORTEST = 0.15  # seconds of one window
_LONG, _LONGEST = 20.0, 60.0  # seconds of one load where requests take long: the fewest rounds from there on, the end
_TOO_LONG = 1.0  # seconds that a request may wait for a usual load to be worth its while
Rates = dict[str, list[float]]


@dataclass(frozen=True)
class Side:
    """One of those that are compared: what it is called, and its settings."""

    name: str
    settings: Settings
    joins: int  # requests or rows, at most: Triton's max_batch_size


def decide(
    context: Context,
    record: Record,
    wanted: Settings,
    request: ComparisonRequest,
    make: Callable[[Record], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> Decision:
    """Make and prove what is wanted, measure it beside what the package had, and say which settings to keep.

    Where the optimizer is left to us that is what is better, else what was asked for. Where nothing can be measured it
    is what is usual here. `make` makes and proves what a record's settings ask for. Raises OptimisationError.
    """
    automatic, reason = is_automatic(wanted), incomparable(context, record, wanted)
    if reason:
        make(replace(record, settings=wanted))
        return Decision(wanted, wanted.optimizer, automatic, uncompared=reason)
    before = what_it_had(context, record, wanted)
    proved, left_out = _made(context, record, wanted, make)
    before, others = _distinct(context, record, before, proved)
    sides = [_side(context, record, BEFORE, before)]
    sides += [_side(context, record, name, settings) for name, settings in others.items()]
    if len(sides) == 1:
        return Decision(before, BEFORE, automatic, left_out=left_out, uncompared="nothing else can be made of it")
    loads = loads_for(context, record.package.name, request, joins=any(side.joins > 1 for side in sides))
    try:
        comparisons = measured(context, record, sides, loads, left_out, cancelled)
    except JobCancelledError:
        raise
    except TritonpmError as error:
        name = next((name for name in others if name not in left_out or not automatic), BEFORE)
        settings = others.get(name, before)
        return Decision(settings, name, automatic, loads=loads.source, left_out=left_out, uncompared=str(error))
    return _decision(sides, comparisons, loads, left_out, automatic=automatic)


def _decision(
    sides: list[Side], comparisons: list[Comparison], loads: Loads, left_out: Mapping[str, str], *, automatic: bool
) -> Decision:
    chosen = best(comparisons) if automatic else sides[-1].name
    by_name = {side.name: side for side in sides}
    batching = batching_words(by_name[BEFORE].joins, by_name[chosen].joins)
    settings = by_name[chosen].settings
    return Decision(settings, chosen, automatic, tuple(comparisons), loads.source, batching, dict(left_out))


def _made(
    context: Context, record: Record, wanted: Settings, make: Callable[[Record], None]
) -> tuple[dict[str, Settings], dict[str, str]]:
    """The candidates that were made and proved, and why others were not. Raises OptimisationError where none was."""
    proved: dict[str, Settings] = {}
    left_out: dict[str, str] = {}
    failure: OptimisationError | None = None
    for name, settings in candidates(context, record, wanted).items():
        try:
            make(replace(record, settings=settings))
            if is_automatic(wanted):
                _require_verified(context, replace(record, settings=settings))
            proved[name] = settings
        except JobCancelledError:
            raise
        except OptimisationError as error:
            failure = failure or error
            left_out[name] = str(error)
    if failure and not set(proved) - {"none"}:  # what came is no optimisation
        raise failure
    return proved, left_out


def _require_verified(context: Context, record: Record) -> None:
    """Raise OptimisationError where a proof that could be done here could not tell: then we choose nothing else."""
    for view in stages(context, record):
        if view.state == "unverified" and view.optimizer not in ACCELERATED:
            raise OptimisationError(f"its answers are not verified: {view.reason}", where=f"stage {view.stage}")


def _distinct(
    context: Context, record: Record, before: Settings, proved: Mapping[str, Settings]
) -> tuple[Settings, dict[str, Settings]]:
    """What it had, and the candidates that are served otherwise than it and than one another.

    Where a candidate is just what the package had, its settings say so by name.
    """
    name = record.package.name

    def digest(settings: Settings) -> str:
        return trial_revision(context, replace(record, settings=settings), name).digest

    had = digest(before)
    others: dict[str, Settings] = {}
    seen = {had}
    for candidate, settings in proved.items():
        served = digest(settings)
        if served == had and is_automatic(before):
            before = settings
        if served not in seen:
            others[candidate] = settings
        seen.add(served)
    return before, others


def _side(context: Context, record: Record, name: str, settings: Settings) -> Side:
    return Side(name, settings, summary(context, record.package, settings).max_batch_size)


def measured(
    context: Context,
    record: Record,
    sides: list[Side],
    loads: Loads,
    left_out: dict[str, str],
    cancelled: Callable[[], bool],
) -> list[Comparison]:
    """Each candidate against the first side under each load; who does not answer right is added to `left_out`.

    Raises ServerError, InferenceError where what it had cannot be measured; JobCancelledError.
    """
    comparisons: list[Comparison] = []
    first = sides[0].name
    with _served(context, record, sides, left_out) as (client, there):
        window = max(_SHORTEST, SECONDS / (len(loads.loads) * len(there) * (ROUNDS + 1)))
        for load in loads.loads:
            rate = comparisons[-1].throughput.a / comparisons[-1].load.batch if comparisons else 0.0
            if loads.usual and rate and load.concurrency / rate > _TOO_LONG:
                continue
            inputs = {
                side.name: measuring_inputs(
                    context, replace(record, settings=side.settings), client, model, batch=load.batch
                ).request(load.batch)
                for side, model in there
            }
            rates = _alternating(context, client, there, inputs, load, window, cancelled)
            comparisons += [
                Comparison(first, name, load, len(own), (ratio_of("throughput", rates[first], own),))
                for name, own in rates.items()
                if name != first
            ]
    return comparisons


@contextmanager
def _served(
    context: Context, record: Record, sides: list[Side], left_out: dict[str, str]
) -> Iterator[tuple[Client, list[tuple[Side, str]]]]:
    """A Triton that nobody else uses, with each side that answers as it must, and its model's name there."""
    from tritonpm.triton.client import Client

    there: list[tuple[Side, str]] = []
    with alone(context, record.package) as (folder, server), Client(server.grpc, protocol="grpc") as client:
        for side in sides:
            own, model = replace(record, settings=side.settings), f"{record.package.name}-{side.name}"
            try:
                place(context, client, folder, trial_revision(context, own, model))
                probe(context, client, own, model=model)
                there.append((side, model))
            except TritonpmError as error:
                if side is sides[0]:
                    raise
                left_out[side.name] = str(error)
        if len(there) == 1:
            raise ServerError(next(iter(left_out.values())))
        yield client, there


def _alternating(
    context: Context,
    client: Client,
    there: list[tuple[Side, str]],
    inputs: Mapping[str, Mapping[str, Array]],
    load: Workload,
    window: float,
    cancelled: Callable[[], bool],
) -> Rates:
    """Inferences/s of each side in each round, by its name; every other round goes the other way round.

    Raises ServerError where a request fails, or too few rounds could be measured; JobCancelledError.
    """
    rates: Rates = {side.name: [] for side, _ in there}
    started, names = time.monotonic(), ", ".join(name for name in rates if name != BEFORE)
    with context.progress(f"Measuring {names} with {load.words}") as report:
        for number in range(ROUNDS + 1):
            if time.monotonic() - started > (_LONG if number > FEWEST_PAIRS else _LONGEST):
                break
            for side, model in there[:: -1 if number % 2 else 1]:
                if cancelled():
                    raise JobCancelledError("was cancelled")
                requests = throughput(client, model, inputs[side.name], load.concurrency, window)
                rates[side.name].append(requests * load.batch)
            report(number + 1, ROUNDS + 1)
    rounds = min(len(own) for own in rates.values()) - 1
    if rounds < FEWEST_PAIRS:
        raise ServerError(f"with {load.words} its requests take too long to be compared in {_LONGEST:.0f} s")
    return {name: own[1:] for name, own in rates.items()}  # the first round warms up
