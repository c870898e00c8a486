"""Optimisations: started, followed, cancelled, resumed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from tritonpm.operations.context import Context
from tritonpm.operations.optimize.decision import of_job
from tritonpm.operations.optimize.jobs import (
    TIME_LIMIT,
    JobView,
    job_view,
    jobs_page,
    start,
    start_measuring,
    to_optimise_for,
)
from tritonpm.operations.optimize.jobs import cancel as cancel_job
from tritonpm.operations.optimize.jobs import resume as resume_job
from tritonpm.operations.optimize.precisions import PrecisionView
from tritonpm.operations.optimize.precisions import precisions as package_precisions
from tritonpm.operations.optimize.workload import ComparisonRequest
from tritonpm.web.api.common import PREFIX, Accepting, Changes, Say, TheSite, new_router
from tritonpm.web.language import Language
from tritonpm.web.listing import MOST_ROWS
from tritonpm.web.present import job_shown, precision_shown
from tritonpm.web.site import Site

router = new_router("jobs", Accepting)


class OptimiseRequest(Changes):
    """What to change first, and the limits for each stage: seconds, bytes.

    `compare`: measure it beside what the package had, with `concurrency` requests of `batch_size` rows in flight, else
    as it is served now; with the optimizer auto what is better is kept.
    """

    changes: dict[str, object] = Field(default_factory=dict)
    again: bool = False
    time_limit: Annotated[float, Field(gt=0)] = TIME_LIMIT
    memory_limit: Annotated[int | None, Field(gt=0)] = None
    compare: bool = False
    concurrency: Annotated[int | None, Field(ge=1)] = None
    batch_size: Annotated[int | None, Field(ge=1)] = None


@router.post("/packages/{name}/optimise", status_code=202, responses={204: {"description": "Nothing is left to do"}})
def optimise(
    site: TheSite, say: Say, name: str, response: Response, body: OptimiseRequest | None = None
) -> JobView | None:
    """Start the job that compiles a package for what it runs on and proves its answers unchanged."""
    request = body or OptimiseRequest()
    with site.open() as context:
        settings = to_optimise_for(context, name, request.changes, stage=request.stage)
        job = start(
            context, name, settings,
            again=request.again, time_limit=request.time_limit, memory_limit=request.memory_limit,
            compare=ComparisonRequest(request.concurrency, request.batch_size) if request.compare else None,
        )  # fmt: skip
        if job is None:
            response.status_code = 204
            return None
        return _shown(site, context, job.id, say)


@router.get("/packages/{name}/precisions")
def precisions(site: TheSite, say: Say, name: str) -> list[PrecisionView]:
    """What a package is like in each precision: size, agreement and speed, as far as they were measured."""
    with site.open() as context:
        return [precision_shown(view, site.root, say) for view in package_precisions(context, name)]


@router.post("/packages/{name}/measure", status_code=202)
def measure(site: TheSite, say: Say, name: str) -> JobView:
    """Start the job that makes, proves and measures a package in each precision; its settings stay as they are."""
    with site.open() as context:
        return _shown(site, context, start_measuring(context, name).id, say)


@router.get("/jobs")
def jobs(
    site: TheSite, say: Say, response: Response, page: Annotated[int, Query(ge=1)] = 1,
    size: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50,
) -> list[JobView]:  # fmt: skip
    """A page of the optimisations, the newest first; X-Total-Count says how many there are, Link where the next are."""
    with site.open() as context:
        listed, total = jobs_page(context, page, size)
    response.headers["X-Total-Count"] = str(total)
    if page * size < total:
        response.headers["Link"] = f'<{PREFIX}/jobs?page={page + 1}&size={size}>; rel="next"'
    return [job_shown(view, site.root, say) for view in listed]


@router.get("/jobs/{number}")
def job(site: TheSite, say: Say, number: int) -> JobView:
    """One optimisation, and how far it is."""
    with site.open() as context:
        return _shown(site, context, number, say)


@router.post("/jobs/{number}/cancel")
def cancel(site: TheSite, say: Say, number: int) -> JobView:
    """End a job; the package is as it was before."""
    with site.open() as context:
        cancel_job(context, number)
        return _shown(site, context, number, say)


@router.post("/jobs/{number}/resume", status_code=202)
def resume(site: TheSite, say: Say, number: int) -> JobView:
    """Start what is left of a job that did not end well; the new job."""
    with site.open() as context:
        return _shown(site, context, resume_job(context, number), say)


def _shown(site: Site, context: Context, number: int, say: Language) -> JobView:
    jobs = context.catalogue.jobs
    view = job_view(jobs.get(number), jobs.last_event(number), of_job(jobs, number))
    return job_shown(view, site.root, say)
