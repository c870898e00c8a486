"""A canary beside the package that it may come after."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from tritonpm.core.errors import NotFoundError, ServerError
from tritonpm.core.roles import Role
from tritonpm.operations.canary_comparison import canary_of, compare_canary
from tritonpm.operations.context import Context
from tritonpm.triton.rates import Rates
from tritonpm.web.api.common import Say, TheSite
from tritonpm.web.pages.render import rendered
from tritonpm.web.present import comparison_shown
from tritonpm.web.roles import actor_of
from tritonpm.web.site import Site
from tritonpm.web.statistics import statistics_of

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class CanarySide:
    """One of the two: what it does now, and how often it was asked and failed since it was loaded."""

    name: str
    version: str
    status: str
    rates: Rates
    requests: int | None
    failures: int | None


@router.get("/packages/{name}/canary", response_class=HTMLResponse)
def canary(request: Request, site: TheSite, say: Say, name: str, ask: bool = False) -> HTMLResponse:
    """A package and its canary side by side; `ask` both with the same samples, for who may run what is there."""
    ask = ask and actor_of(request).role.covers(Role.OPERATE)
    with site.open() as context:
        of = canary_of(context, name)
        if not of:
            return rendered(request, "canary.html", name=name, view=None)
        view = comparison_shown(compare_canary(context, of, ask=ask), site.root, say)
        sides = [_side(site, context, side) for side in (view.package, view.canary)]
    return rendered(request, "canary.html", name=name, view=view, sides=sides, asked=ask)


def _side(site: Site, context: Context, name: str) -> CanarySide:
    record = context.catalogue.get(name)
    now = site.ring.snapshots()[-1:]
    rates = next((load.rates for snapshot in now for load in snapshot.packages if load.name == name), Rates())
    counted = []
    with suppress(ServerError, NotFoundError):
        counted = [model for model in statistics_of(context, name) if model.model == name]
    requests = sum(model.inferences for model in counted) if counted else None
    failures = sum(model.failures for model in counted) if counted else None
    return CanarySide(name, record.package.version, record.status, rates, requests, failures)
