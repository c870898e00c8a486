"""Optimisations: started, followed, cancelled, resumed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from tritonpm.operations.optimize.jobs import TIME_LIMIT, Optimising
from tritonpm.operations.views import JobView, job_view
from tritonpm.web.api.common import Changes, TheSite
from tritonpm.web.present import job_shown
from tritonpm.web.site import Site

router = APIRouter(tags=["jobs"])


class Optimise(Changes):
    """What to change first, and the limits for each stage: seconds, bytes."""

    changes: dict[str, object] = Field(default_factory=dict)
    again: bool = False
    time_limit: Annotated[float, Field(gt=0)] = TIME_LIMIT
    memory_limit: Annotated[int | None, Field(gt=0)] = None


@router.post("/packages/{name}/optimise", status_code=202, responses={204: {"description": "Nothing is left to do"}})
def optimise(site: TheSite, name: str, response: Response, body: Optimise | None = None) -> JobView | None:
    """Start the job that compiles a package for what it runs on and proves its answers unchanged."""
    asked = body or Optimise()
    with site.manager() as manager:
        optimising = manager.optimising
        optimising.choose(name, asked.changes, stage=asked.stage)
        job = optimising.start(name, again=asked.again, time_limit=asked.time_limit, memory_limit=asked.memory_limit)
        if job is None:
            response.status_code = 204
            return None
        return _shown(site, optimising, job.id)


@router.get("/jobs")
def jobs(site: TheSite) -> list[JobView]:
    """Every optimisation, the newest first."""
    with site.manager() as manager:
        return [job_shown(view, site.root) for view in manager.optimising.listed()]


@router.get("/jobs/{number}")
def job(site: TheSite, number: int) -> JobView:
    """One optimisation, and how far it is."""
    with site.manager() as manager:
        return _shown(site, manager.optimising, number)


@router.post("/jobs/{number}/cancel")
def cancel(site: TheSite, number: int) -> JobView:
    """End a job; the package is as it was before."""
    with site.manager() as manager:
        manager.optimising.cancel(number)
        return _shown(site, manager.optimising, number)


@router.post("/jobs/{number}/resume", status_code=202)
def resume(site: TheSite, number: int) -> JobView:
    """Start what is left of a job that did not end well; the new job."""
    with site.manager() as manager:
        return _shown(site, manager.optimising, manager.optimising.resume(number))


def _shown(site: Site, optimising: Optimising, number: int) -> JobView:
    view = job_view(optimising.jobs.get(number), optimising.jobs.last_event(number))
    return job_shown(view, site.root)
