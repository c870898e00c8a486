"""Canaries: another content, or other settings, served beside a package; then promoted or given up."""

from __future__ import annotations

from fastapi import Request

from tritonpm.operations import canary
from tritonpm.operations.canary_comparison import CanaryComparison, compare_canary
from tritonpm.operations.context import Context
from tritonpm.operations.load import Loaded
from tritonpm.web.api.common import (
    RAW,
    Accepting,
    AllowCode,
    Changes,
    ChangesBeside,
    FileName,
    Say,
    TheSite,
    changes_in,
    new_router,
)
from tritonpm.web.api.packages import started
from tritonpm.web.present import comparison_shown
from tritonpm.web.quarantine import received
from tritonpm.web.site import Site
from tritonpm.web.tasks import LongTask

router = new_router("canaries", Accepting)


@router.post("/packages/{name}/canary", status_code=202)
def begin(site: TheSite, name: str, body: Changes) -> LongTask:
    """Serve a package with other settings beside itself, as NAME-canary."""
    _require(site, name)

    def work(context: Context) -> str:
        return _beside(name, canary.start(context, name, None, body.changes))

    return site.begin("canary", name, work)


@router.post("/packages/{name}/canary/content", status_code=202, openapi_extra=RAW)
async def begin_with_content(
    site: TheSite,
    request: Request,
    name: str,
    filename: FileName,
    allow_code: AllowCode = False,
    beside: ChangesBeside = "",
) -> LongTask:
    """Serve other content beside a package, as NAME-canary; the body is the file, `changes` are settings."""
    changes = changes_in(beside)
    upload = await received(site, request, filename)

    def work(context: Context) -> str:
        with upload:
            return _beside(name, canary.start(context, name, upload.path, changes, allow_code=allow_code))

    return started(site, upload, "canary", name, work)


@router.post("/packages/{name}/canary/compare")
def compare(site: TheSite, say: Say, name: str) -> CanaryComparison:
    """Send a package's samples to it and to its canary, and compare the answers."""
    with site.open() as context:
        return comparison_shown(compare_canary(context, name), site.root, say)


@router.post("/packages/{name}/promote", status_code=202)
def promote(site: TheSite, name: str) -> LongTask:
    """The canary takes the place of its package, live."""
    _require(site, name)

    def work(context: Context) -> str:
        loaded = canary.promote(context, name)
        return (
            f"{name} serves revision {loaded.revision}: {loaded.probe}."
            if loaded
            else f"Promoted {name}{canary.SUFFIX}."
        )

    return site.begin("promote", name, work)


@router.post("/packages/{name}/abort", status_code=202)
def abort(site: TheSite, name: str) -> LongTask:
    """Discard the canary; its package keeps serving."""
    _require(site, name)

    def work(context: Context) -> str:
        canary.abort(context, name)
        return f"Discarded the canary of {name}."

    return site.begin("abort", name, work)


def _beside(name: str, loaded: Loaded) -> str:
    return f"{loaded.name} serves beside {name}: {loaded.probe}."


def _require(site: Site, name: str) -> None:
    with site.open() as context:
        context.catalogue.get(name)
