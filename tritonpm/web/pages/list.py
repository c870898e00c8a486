"""The list of packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from tritonpm.catalogue.jobs import Event, Job
from tritonpm.operations.context import Context
from tritonpm.operations.list import PackageView
from tritonpm.operations.list import packages as list_packages
from tritonpm.operations.monitor.snapshot import Snapshot
from tritonpm.operations.on_demand import HOST
from tritonpm.settings.settings import PRECISIONS
from tritonpm.web import listing
from tritonpm.web.api.common import Say, TheSite
from tritonpm.web.batch_memory import taken
from tritonpm.web.choices import Chooser, Option
from tritonpm.web.language import Language
from tritonpm.web.listing import ListPage, page_shown
from tritonpm.web.pages.render import of_tasks, rendered
from tritonpm.web.site import Site

router = APIRouter(include_in_schema=False)
_POINTS = 30  # of the line of requests
_IN_PLACE = ("mode", "device")
Text = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True)
class Row:
    """A package in the list, with what can be switched in place and how far its job is."""

    view: PackageView
    options: Mapping[str, tuple[Option, ...]]
    job: int | None = None
    event: Event | None = None
    traffic: Traffic | None = None
    since: float | None = None  # when the job began, Unix time
    memory: int | None = None  # bytes that it takes now, where that is told apart
    at_load: int | None = None  # bytes that it took when it was loaded, where it is loaded and that is known


@dataclass(frozen=True)
class Traffic:
    """What clients ask of a package: requests a second, p99 in µs; `line` are the points of the last requests."""

    requests: float | None
    p99: float | None
    line: str


def traffic_of(snapshots: Sequence[Snapshot]) -> dict[str, Traffic]:
    """The traffic of each package that is loaded, of the snapshots that there are."""
    asked: dict[str, list[float]] = {}
    for snapshot in snapshots[-_POINTS:]:
        for load in snapshot.packages:
            asked.setdefault(load.name, []).append(load.rates.requests_per_second or 0.0)
    now = snapshots[-1].packages if snapshots else ()
    return {
        load.name: Traffic(load.rates.requests_per_second, load.rates.p99_us, _line(asked[load.name])) for load in now
    }


def _line(values: Sequence[float]) -> str:
    """Points in a field of 60 by 20; "" where nothing was asked."""
    most = max(values)
    if not most:
        return ""
    left = 60 - 2 * (len(values) - 1)
    return " ".join(f"{left + 2 * at},{19 - 18 * value / most:.1f}" for at, value in enumerate(values))


@router.get("/", response_class=HTMLResponse)
@router.get("/packages", response_class=HTMLResponse)
def packages(
    request: Request, site: TheSite, say: Say, q: Text = "", type: Text = "", project: Text = "",
    mode: Text = "", device: Text = "", precision: Text = "", status: Text = "", sort: Text = "name", page: int = 1,
    size: int = 50,
) -> HTMLResponse:  # fmt: skip
    """The list; where htmx asks, only its rows."""
    query = listing.Query(q, type, project, mode, device, precision, status, sort, page, size)
    listed, rows = _rows(site, query, say)
    template = "rows.html" if request.headers.get("hx-target") == "listing" else "packages.html"
    filters = _filters(listed, say)
    return rendered(
        request, template, query=query, usual=listing.Query(), listed=listed, rows=rows, link=_linker(query), **filters
    )


def row_of(context: Context, view: PackageView, job: Job | None, say: Language) -> Row:
    """A row; `job` is what works on the package."""
    options = Chooser(context, context.catalogue.get(view.name), say).choices({}, _IN_PLACE).options
    if job is None:
        return Row(view, options)
    return Row(view, options, job.id, context.catalogue.jobs.last_event(job.id), since=job.created)


def _rows(site: Site, query: listing.Query, say: Language) -> tuple[ListPage, list[Row]]:
    with site.open() as context:
        snapshots = site.ring.snapshots()
        traffic, memory = traffic_of(snapshots), taken(snapshots)
        listed = page_shown(list_packages(context.catalogue), query, site.root, say)
        busy = context.catalogue.jobs.busy()
        rows = [row_of(context, view, busy.get(view.name), say) for view in listed.items]
        at_load = context.catalogue.memory_at_load(HOST)
        names = [row.view.name for row in rows]
        return listed, [
            replace(row, traffic=traffic.get(name), memory=memory.get(name), at_load=at_load.get(name))
            for name, row in zip(names, rows, strict=True)
        ]


def _filters(listed: ListPage, say: Language) -> dict[str, Any]:
    """What the filters offer: values and their names."""

    def choices_of(names: Mapping[str, str]) -> Iterable[tuple[str, str]]:
        return [(value, say(name)) for value, name in names.items()]

    return {
        "choices_of": choices_of,
        "choices_of_types": [(kind, of_tasks(kind, say)) for kind in listed.types],
        "choices_of_projects": [(project, project) for project in listed.projects],
        "choices_of_precisions": [(precision, precision) for precision in PRECISIONS],
    }


def _linker(query: listing.Query) -> Callable[..., str]:
    """The address of the list with some of the query's values changed."""
    usual = asdict(listing.Query())

    def link(**values: object) -> str:
        wanted = {**asdict(query), **values}
        parameters = {name: value for name, value in wanted.items() if value != usual[name]}
        return f"/packages?{urlencode(parameters)}" if parameters else "/packages"

    return link
