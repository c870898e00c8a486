"""`tritonpm optimize` and `jobs`: what makes what settings ask for, in a process of its own that is followed here.

Optimising is a transaction: the settings that were asked for are tried on the side, and are the package's own once
everything that they ask for is made and proved. Where that fails, nothing has changed.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from tritonpm.catalogue.jobs import RUNNING, Event
from tritonpm.convert.converters import require_installed
from tritonpm.convert.plan import cascade_key
from tritonpm.convert.requests import CANCEL
from tritonpm.core import python
from tritonpm.core.errors import OptimisationError, UsageError
from tritonpm.core.units import moment
from tritonpm.operations.artefacts import kept_artefact, made, require_calibrated, works_of
from tritonpm.operations.audit import audited
from tritonpm.operations.chosen_settings import chosen_settings
from tritonpm.operations.local_repository import changing
from tritonpm.operations.memory import require_room_to_build
from tritonpm.operations.optimize.candidates import incomparable, is_automatic
from tritonpm.operations.optimize.decision import Decision, of_job
from tritonpm.operations.optimize.workload import ComparisonRequest
from tritonpm.operations.summary import summary
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.catalogue.jobs import Job
    from tritonpm.operations.context import Context

TIME_LIMIT = 3600.0  # seconds for the conversion of one stage
MODULE = "tritonpm.operations.optimize.run_job"
_SHARE = 0.75  # of the machine's memory, that one conversion may use
_LOOK_EVERY = 0.1  # seconds
_CANCEL_WAIT = 15.0  # seconds that a cancelled job has to end


@dataclass(frozen=True)
class JobRequest:
    """What a job is asked for: limits of each stage in seconds and bytes, and the settings that shall hold after it."""

    seconds: float
    memory: int
    settings: Settings | None = None  # None: those that the package has
    instead_of: Settings | None = None  # what they take the place of, if it is still there
    compare: ComparisonRequest | None = None  # None: not with what the package had
    measures: bool = False  # each precision beside the others, and nothing else: no setting changes


@dataclass(frozen=True)
class JobView:
    """A job: what it works on, how far it is, how it ended."""

    id: int
    package: str
    state: str
    stage: str
    step: str
    done: int
    total: int
    reason: str
    created: str
    comparison: tuple[str, ...] = ()  # what was gained and lost, in sentences
    measures: bool = False  # it only measures, and changes nothing


def default_memory() -> int:
    """Bytes that one conversion may use where nobody says how many."""
    return int(psutil.virtual_memory().total * _SHARE)


def request_of(job: Job) -> JobRequest:
    """What a job was asked for."""
    return msgspec.convert(job.request, JobRequest)


def to_optimise_for(
    context: Context,
    name: str,
    changes: Mapping[str, object],
    *,
    stage: str | None = None,
    calibration: Path | None = None,
    plugins: Sequence[Path] = (),
) -> Settings:
    """The settings to optimise for: as told, and where they still ask for nothing, what is best here; none is stored.

    Raises RuleError, NotFoundError.
    """
    record = context.catalogue.get(name)
    settings, asked = record.settings, dict(changes)
    names_one = {"precision", "optimizer", "device"} & asked.keys()
    if not names_one and not stage and not any(settings.for_stage(s).optimised for s in ("", *settings.stages)):
        asked["optimizer"] = "auto"
        if settings.device == "gpu":
            asked["device"] = "gpu-optimised"
    if not (asked or calibration or plugins):
        return settings
    return chosen_settings(context, record, asked, stage=stage, calibration=calibration, plugins=plugins)


@audited("optimize", "settings")
def start(
    context: Context,
    name: str,
    settings: Settings | None = None,
    *,
    again: bool = False,
    time_limit: float = TIME_LIMIT,
    memory_limit: int | None = None,
    compare: ComparisonRequest | None = None,
) -> Job | None:
    """Start the job that makes what settings ask for, which then become the package's; None where all of it is there.

    `settings` None are those that the package has. `time_limit` in seconds and `memory_limit` in bytes are for each
    stage. With `compare` it is measured beside what the package had, and the optimizer that is left to us is chosen by
    that. Raises BusyError, OptimisationError, RequirementError, UsageError.
    """
    present = context.catalogue.get(name)
    record = present if settings is None else replace(present, settings=settings)
    asked, _ = works_of(context, record)
    if not asked:
        raise UsageError(f"{name} does not ask for any optimisation", do="give --precision, --optimizer or --device")
    open_question = compare is not None and _is_undecided(context, present, record)
    if not (again or open_question) and len(made(context, record)) == len(asked):
        adopt(context, name, settings, present.settings)
        return None
    require_calibrated(record, asked)
    require_installed(
        step for work in asked if again or not kept_artefact(context, work.key) for step in work.plan.steps
    )
    require_room_to_build(context, record)
    request = JobRequest(time_limit, memory_limit or default_memory(), settings, settings and present.settings, compare)
    forgotten = [work.key for work in asked] + [cascade_key(record.package, asked)] if again else []
    return _begun(context, name, request, forgotten)


@audited("measure")
def start_measuring(context: Context, name: str) -> Job:
    """Start the job that measures a package in each precision; its settings stay. Raises BusyError, UsageError."""
    record = context.catalogue.get(name)
    if reason := incomparable(context, record, record.settings):
        raise UsageError(reason, where=name)
    return _begun(context, name, JobRequest(TIME_LIMIT, default_memory(), measures=True))


def _begun(context: Context, name: str, request: JobRequest, forgotten: Sequence[str] = ()) -> Job:
    """A job in a process of its own, what was made under those keys `forgotten`. Raises BusyError."""
    jobs = context.catalogue.jobs
    with changing(context, f"optimize {name}"):
        job = jobs.create(name, msgspec.to_builtins(request))
        for key in forgotten:
            context.catalogue.artefacts.forget(key)
    with (jobs.folder(job.id) / "job.log").open("wb") as log:
        process = subprocess.Popen(
            python.module(MODULE, str(context.workspace.root), str(job.id)),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    jobs.owned(job.id, process.pid)
    return job


def _is_undecided(context: Context, present: Record, wanted: Record) -> bool:
    """Whether there is something to compare, though all of it may have been made before."""
    other = is_automatic(wanted.settings) or wanted.settings != present.settings
    return other and not incomparable(context, present, wanted.settings)


def adopt(context: Context, name: str, settings: Settings | None, instead_of: Settings | None) -> None:
    """Settings whose artefacts are made and proved become the package's. Raises OptimisationError where others came."""
    if settings is None or settings == instead_of:
        return
    with changing(context, f"optimize {name}"):
        record = context.catalogue.get(name)
        if record.settings not in (instead_of, settings):
            what = "its settings were changed while it was being optimised, so the new ones stay"
            raise OptimisationError(what, where=name, do=f"`tritonpm optimize {name}` again: what was made is kept")
        context.catalogue.set_settings(name, settings, summary(context, record.package, settings))


@audited("jobs resume", "number")
def resume(context: Context, number: int) -> int:
    """Start what is left of a job that did not end well; the new job's number. Raises UsageError."""
    job = context.catalogue.jobs.get(number)
    if job.state in (RUNNING, "done"):
        raise UsageError(f"job {number} is {job.state}", do="`tritonpm jobs` lists them")
    request = request_of(job)
    if request.measures:
        return start_measuring(context, job.package).id
    started = start(
        context, job.package, request.settings,
        time_limit=request.seconds, memory_limit=request.memory, compare=request.compare,
    )  # fmt: skip
    if started is None:
        raise UsageError(f"job {number} has nothing left to do")
    return started.id


def ensure(context: Context, name: str) -> None:
    """Make what the package's settings ask for, where it is not there yet. Raises OptimisationError."""
    if works_of(context, context.catalogue.get(name))[0] and (job := start(context, name)):
        watch(context, job.id)


def follow(context: Context, number: int) -> Iterator[Event]:
    """A job's events, from its first to its last, as they come. Raises NotFoundError."""
    jobs = context.catalogue.jobs
    offset, job = 0, jobs.get(number)
    while True:
        ended = job.state != RUNNING
        for event, behind in jobs.events(number, offset):
            offset = behind
            yield event
        if ended:
            return
        time.sleep(_LOOK_EVERY)
        job = jobs.get(number)


def watch(context: Context, number: int) -> Job:
    """Follow a job to its end; its progress is the context's. Raises OptimisationError."""
    step: tuple[str, str] | None = None
    with ExitStack() as bar:
        report: Callable[[int, int], None] = lambda done, total: None  # noqa: E731
        for event in follow(context, number):
            if (event.stage, event.step) != step:
                step = event.stage, event.step
                bar.close()
                report = bar.enter_context(context.progress(f"{event.stage}: {event.step}"))
            report(event.done, event.total)
    return finish(context, number)


def finish(context: Context, number: int) -> Job:
    """How a job that was followed to its end has ended. Raises OptimisationError unless it is done."""
    job = context.catalogue.jobs.get(number)
    if job.state != "done":
        hint = f"`tritonpm optimize {job.package}` goes on" if job.state == "interrupted" else ""
        raise OptimisationError(
            f"job {number} {'' if job.state == 'failed' else 'was '}{job.state}: {job.reason}".rstrip(": "),
            where=job.package, do=hint,
        )  # fmt: skip
    return job


@audited("jobs cancel", "number")
def cancel(context: Context, number: int) -> Job:
    """End a job, its workers with it; the package is as it was before. Raises UsageError."""
    jobs = context.catalogue.jobs
    job = jobs.get(number)
    if job.state != RUNNING:
        raise UsageError(f"job {number} is {job.state}, not running", do="`tritonpm jobs` lists them")
    (jobs.folder(number) / CANCEL).touch()
    deadline = time.monotonic() + _CANCEL_WAIT
    while (job := jobs.get(number)).state == RUNNING and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY)
    return job


def list_jobs(context: Context) -> list[JobView]:
    """Every job, the newest first."""
    jobs = context.catalogue.jobs
    return [job_view(job, jobs.last_event(job.id), of_job(jobs, job.id)) for job in jobs.all()]


def jobs_page(context: Context, page: int, size: int = 50) -> tuple[list[JobView], int]:
    """A page of the jobs, the newest first, past the end the last one; and how many jobs there are."""
    jobs = context.catalogue.jobs
    known = jobs.all()
    pages = max(1, -(-len(known) // size))
    first = (min(page, pages) - 1) * size
    shown = known[first : first + size]
    return [job_view(job, jobs.last_event(job.id), of_job(jobs, job.id)) for job in shown], len(known)


def job_view(job: Job, event: Event | None, decision: Decision | None = None) -> JobView:
    """A job for people."""
    created = moment(job.created)
    event = event or Event("", "")
    return JobView(
        job.id, job.package, job.state, event.stage, event.step, event.done, event.total, job.reason, created,
        decision.sentences if decision else (), job.request.get("measures") is True,
    )  # fmt: skip
