"""What a package is like in each precision: its size, how equal its answers are, how fast it is, as far as measured.

Measuring makes and proves each, and puts them side by side on a Triton that nobody else uses; no setting changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from tritonpm.core.errors import RenderError, RuleError, TritonpmError
from tritonpm.core.files import write_atomically
from tritonpm.operations.artefacts import OptimisationView, stages, works_of
from tritonpm.operations.chosen_settings import chosen_settings
from tritonpm.operations.optimize.compare import Side, measured
from tritonpm.operations.optimize.workload import ComparisonRequest, loads_for
from tritonpm.operations.stage_inputs import JobCancelledError
from tritonpm.operations.summary import summary
from tritonpm.operations.tuned import last_tuned
from tritonpm.perf.compare import Comparison
from tritonpm.settings.settings import PRECISIONS, Settings
from tritonpm.tune.kept import best_of
from tritonpm.tune.pareto import MeasuredSettings

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.catalogue.jobs import Job, Jobs
    from tritonpm.core.types import Agreement
    from tritonpm.operations.context import Context

_FILE = "precisions.json"  # in the job's folder
_FIRST = PRECISIONS[0]
ORIGINAL = "original"  # the state of what nothing was made of


@dataclass(frozen=True)
class MeasuredPrecisions:
    """What a job measured of a content with some settings: each precision against the first, under each load.

    `left_out`: why others were not. `loads` says where those came from.
    """

    digest: str
    settings: Settings
    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    loads: str = ""


@dataclass(frozen=True)
class PrecisionView:
    """A precision of a package. `chosen`: its settings have it; `why` says why it cannot be had, or was not proved.

    `state` is original, verified, unverified, stale, missing or forbidden. `bytes` are those of its models, `agreement`
    the share of answers that are the original's, of what `measure` names (top-1, boxes or cosine); None: not known.
    `comparisons` are with FP32, one a load; `()` where it was not measured with the settings of now. `tuned` is the
    best that `tune` measured in it. `changes` are what choosing it means.
    """

    precision: str
    chosen: bool
    state: str
    why: str = ""
    bytes: int | None = None
    agreement: float | None = None
    measure: str = ""
    comparisons: tuple[Comparison, ...] = ()
    throughput: float | None = None  # inferences/s under the first load
    tuned: MeasuredSettings | None = None
    changes: Mapping[str, object] = field(default_factory=dict)


def precisions(context: Context, name: str) -> tuple[PrecisionView, ...]:
    """A package in each precision, as far as that is known. Raises NotFoundError."""
    record = context.catalogue.get(name)
    known, tuned = _last(context, record), last_tuned(context, record)
    views = (_view(context, record, precision, known) for precision in PRECISIONS)
    return tuple(replace(view, tuned=best_of(tuned, view.precision) if tuned else None) for view in views)


def measure(
    context: Context,
    record: Record,
    make: Callable[[Record], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> MeasuredPrecisions:
    """Make, prove and measure each precision that the rules allow; `make` does what a record's settings ask for.

    Raises ServerError, InferenceError, OptimisationError; JobCancelledError.
    """
    left_out: dict[str, str] = {}
    sides: list[Side] = []
    for precision in PRECISIONS:
        try:
            settings = chosen_settings(context, record, {"precision": precision})
            make(replace(record, settings=settings))
        except JobCancelledError:
            raise
        except TritonpmError as error:
            if precision == _FIRST:
                raise
            left_out[precision] = str(error)
            continue
        joins = summary(context, record.package, settings).max_batch_size
        sides.append(Side(precision, settings, joins))
    loads = loads_for(context, record.package.name, ComparisonRequest(), joins=any(side.joins > 1 for side in sides))
    comparisons: list[Comparison] = []
    if len(sides) > 1:
        comparisons = measured(context, record, sides, loads, left_out, cancelled)
    return MeasuredPrecisions(record.package.digest, record.settings, tuple(comparisons), left_out, loads.source)


def keep(jobs: Jobs, job: Job, measures: MeasuredPrecisions) -> None:
    """Keep what a job measured. Raises StorageError."""
    write_atomically(jobs.folder(job.id) / _FILE, msgspec.json.encode(measures))


def _last(context: Context, record: Record) -> MeasuredPrecisions | None:
    """What was measured last of this content with these settings, whatever their precision."""
    jobs = context.catalogue.jobs
    for job in jobs.all():
        if job.package != record.package.name or job.state != "done":
            continue
        with suppress(OSError, msgspec.MsgspecError):
            kept = msgspec.json.decode((jobs.folder(job.id) / _FILE).read_bytes(), type=MeasuredPrecisions)
            if kept.digest == record.package.digest and _alike(kept.settings) == _alike(record.settings):
                return kept
    return None


def _alike(settings: Settings) -> Settings:
    """Settings but for what choosing a precision changes."""
    return replace(settings, precision=_FIRST, optimizer="none")


def _view(context: Context, record: Record, precision: str, known: MeasuredPrecisions | None) -> PrecisionView:
    chosen = record.settings.precision == precision
    try:
        settings = record.settings if chosen else chosen_settings(context, record, {"precision": precision})
    except (RuleError, RenderError) as error:
        return PrecisionView(precision, chosen, "forbidden", error.what)
    of_it = replace(record, settings=settings)
    views = stages(context, of_it)
    state, why = _state(views)
    own = tuple(comparison for comparison in known.comparisons if comparison.b == precision) if known else ()
    first = known.comparisons[0].throughput.a if known and known.comparisons and precision == _FIRST else None
    left_out = known.left_out.get(precision, "") if known else ""
    agreement, of = _agreement(context, of_it, views)
    return PrecisionView(
        precision, chosen, state, why or left_out, _size(record, views) if state != "missing" else None,
        agreement if state in (ORIGINAL, "verified") else None, of, own,
        own[0].throughput.b if own else first,
        changes={"precision": precision},
    )  # fmt: skip


def _state(views: tuple[OptimisationView, ...]) -> tuple[str, str]:
    """The worst of its stages', with the reason."""
    for state in ("missing", "stale", "unverified"):
        for view in views:
            if view.state == state:
                return state, view.reason
    return ("verified", "") if views else (ORIGINAL, "")


def _size(record: Record, views: tuple[OptimisationView, ...]) -> int:
    """Bytes of the models that serve; one that nothing was made of, or that an accelerator runs, is what came."""
    made = {view.stage: view.bytes for view in views}
    came = {file.path: file.size for file in record.package.files}
    return sum(
        made.get(stage.name) or sum(came.get(path, 0) for path in stage.files) for stage in record.package.stages
    )


def _agreement(context: Context, record: Record, views: tuple[OptimisationView, ...]) -> tuple[float | None, str]:
    """The worst agreement with the original of any stage or of the whole, and what that is a share of."""
    if not views:
        return 1.0, ""
    _, proof = works_of(context, record)
    whole = [proof.agreement] if proof else []
    scores = [score for agreement in (*(view.agreement for view in views), *whole) for score in _scores(agreement)]
    return min(scores, default=(None, ""), key=lambda score: score[0])


def _scores(agreement: Agreement) -> Iterator[tuple[float, str]]:
    for share, name in ((agreement.top1, "top-1"), (agreement.boxes, "boxes")):
        if share is not None:
            yield share, name
            return
    if agreement.outputs:
        yield round(min(output.cosine for output in agreement.outputs), 6), "cosine"
