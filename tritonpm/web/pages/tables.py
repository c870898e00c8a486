"""Jobs, which project uses what, and the REST API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from tritonpm.operations.optimize.jobs import jobs_page
from tritonpm.operations.projects import projects as all_projects
from tritonpm.web.api.common import Say, TheSite
from tritonpm.web.pages.render import rendered
from tritonpm.web.present import job_shown

router = APIRouter(include_in_schema=False)
_ROWS = 50


@router.get("/jobs", response_class=HTMLResponse)
def jobs(request: Request, site: TheSite, say: Say, page: Annotated[int, Query(ge=1)] = 1) -> HTMLResponse:
    """Every optimisation, the newest first."""
    with site.open() as context:
        listed, total = jobs_page(context, page, _ROWS)
        views = [job_shown(view, site.root, say) for view in listed]
    pages = max(1, -(-total // _ROWS))
    return rendered(request, "jobs.html", jobs=views, page=min(page, pages), pages=pages)


@router.get("/projects", response_class=HTMLResponse)
def projects(request: Request, site: TheSite) -> HTMLResponse:
    """Who uses what."""
    with site.open() as context:
        leases = all_projects(context)
    return rendered(request, "projects.html", leases=leases)


@router.get("/api", response_class=HTMLResponse)
def api(request: Request) -> HTMLResponse:
    """The REST API, as its OpenAPI document describes it."""
    document = request.app.openapi()
    operations = [
        {"method": method.upper(), "path": path, "about": _paragraphs(operation["description"]), **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    groups = [(tag, [one for one in operations if tag["name"] in one["tags"]]) for tag in document["tags"]]
    return rendered(request, "api.html", groups=groups, base=str(request.base_url).rstrip("/"))


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
