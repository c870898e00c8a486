"""The page of one package, and the parts of it that are loaded one by one."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from tritonpm.core.errors import NotFoundError, NotOptimisedError, RenderError, ServerError, UsageError
from tritonpm.operations.client import client_code
from tritonpm.operations.code_languages import LANGUAGES
from tritonpm.operations.diff import RevisionDifference, compared, differences
from tritonpm.operations.history import history as package_history
from tritonpm.operations.on_demand import HOST
from tritonpm.operations.optimize.jobs import list_jobs
from tritonpm.operations.optimize.precisions import precisions as package_precisions
from tritonpm.operations.sample_inputs import samples_of, shows_pictures
from tritonpm.operations.seen import beside
from tritonpm.operations.show import show as show_package
from tritonpm.web.api.common import Say, TheSite
from tritonpm.web.batch_memory import taken
from tritonpm.web.choices import starting
from tritonpm.web.configs import configs
from tritonpm.web.pages.activity import WORDS, entries_of
from tritonpm.web.pages.list import row_of
from tritonpm.web.pages.render import rendered
from tritonpm.web.pictures import described, picture
from tritonpm.web.present import details_shown, job_shown, precision_shown
from tritonpm.web.setting_rows import setting_rows
from tritonpm.web.statistics import shares, statistics_of

router = APIRouter(include_in_schema=False)
TABS = {
    "overview": "Overview", "performance": "Efficiency", "versions": "Versions", "config": "Configuration",
    "activity": "Activity",
}  # fmt: skip
_SAMPLES = 24  # of a package that are offered to try


@router.get("/packages/{name}", response_class=HTMLResponse)
def package(request: Request, site: TheSite, say: Say, name: str) -> HTMLResponse:
    """Everything about a package."""
    with site.open() as context:
        view = details_shown(show_package(context, name), site.root, say)
        record = context.catalogue.get(name)
        jobs = [job_shown(job, site.root, say) for job in list_jobs(context) if job.package == name]
        values: dict[str, Any] = {
            "settings": setting_rows(record.settings, starting(context, record), say),
            "row": replace(
                row_of(context, view, context.catalogue.jobs.running(name), say),
                memory=taken(site.ring.snapshots()).get(name),
                at_load=context.catalogue.memory_at_load(HOST).get(name),
            ),
            "picture": picture(record.package, say, record.settings),
            "configs": configs(context, name),
            "history": package_history(context, name),
            "samples": min(len(samples_of(record)), _SAMPLES),
            "shows": shows_pictures(record),
            "tabs": TABS,
            "entries": entries_of(site, context, say, package=name)[0],
            **WORDS,
            "programs": {language: needs for language, (_, _, needs) in LANGUAGES.items()},
            "others": beside(context, name) if view.status == "loaded" else (),
        }
    return rendered(request, "package.html", view=view, jobs=jobs, described=described, **values)


@router.get("/packages/{name}/code/{language}", response_class=HTMLResponse)
def code(request: Request, site: TheSite, say: Say, name: str, language: str) -> HTMLResponse:
    """Code that asks the package, or why there is none in that language."""
    if language not in LANGUAGES:
        raise NotFoundError(f"there is no client code in {language}", do=f"take one of {', '.join(LANGUAGES)}")
    with site.open() as context:
        try:
            asked = client_code(context, name, language)
        except (RenderError, UsageError, NotOptimisedError) as error:
            return rendered(request, "code.html", language=language, reason=say.told(str(error)))
    return rendered(request, "code.html", language=language, asked=asked)


@router.get("/packages/{name}/diff", response_class=HTMLResponse)
def diff(request: Request, site: TheSite, name: str, one: int, other: int | None = None) -> HTMLResponse:
    """Two revisions: what was changed, and line by line what came of it."""
    with site.open() as context:
        lines = list(differences(context, name, one, other))
        changed: tuple[RevisionDifference, ...] = ()
        with suppress(NotFoundError):  # an older tritonpm kept no more than the files
            changed = compared(context, name, one, other)
    return rendered(request, "diff.html", lines=lines, changed=changed, one=one, other=other)


@router.get("/packages/{name}/precisions", response_class=HTMLResponse)
def precisions(request: Request, site: TheSite, say: Say, name: str) -> HTMLResponse:
    """A card for each precision: what it was measured to do, and where it was not, how it can be."""
    with site.open() as context:
        views = [precision_shown(view, site.root, say) for view in package_precisions(context, name)]
        record = context.catalogue.get(name)
        busy = context.catalogue.jobs.running(name) is not None
    measured = any(view.comparisons for view in views)
    return rendered(
        request, "precisions.html", name=name, views=views, busy=busy, measured=measured, live=record.status == "loaded"
    )


@router.get("/packages/{name}/statistics", response_class=HTMLResponse)
def statistics(
    request: Request, site: TheSite, say: Say, name: str, count: Annotated[int, Query(ge=0)] = 0, at: float = 0.0
) -> HTMLResponse:
    """What Triton counted; `count` inferences were seen at the moment `at`, from which the throughput follows."""
    with site.open() as context:
        record = context.catalogue.get(name)
        try:
            counted = statistics_of(context, name)
        except (ServerError, NotFoundError):
            counted = []
    now, total = time.monotonic(), sum(model.inferences for model in counted if model.model == name)
    rate = (total - count) / (now - at) if 0 < at < now and total >= count else None
    drawn = picture(record.package, say, record.settings, shares(record.package, counted))
    return rendered(
        request,
        "statistics.html",
        name=name,
        statistics=counted,
        rate=rate,
        count=total,
        at=f"{now:.3f}",
        picture=drawn,
    )
