"""Files that came in and wait: looked at first, then imported under a name, put in a package's place, or discarded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.upgrade import upgrade
from tritonpm.web.api.common import RAW, Accepting, AllowCode, Body, FileName, Say, TheSite, new_router
from tritonpm.web.held import HeldUpload
from tritonpm.web.incoming import IncomingPackage, looked_at
from tritonpm.web.quarantine import received
from tritonpm.web.tasks import LongTask

router = new_router("packages", Accepting)


class ImportRequest(Body):
    """As what a file that waits is imported: `tasks` of its stages, by name.

    `replaces`: as the next version of that package. `allow_code` accepts content that runs code on load.
    """

    name: Annotated[str | None, Field(max_length=64)] = None
    tasks: dict[str, str] = Field(default_factory=dict)
    allow_code: bool = False
    replaces: str | None = None


@router.post("/incoming/packages", status_code=201, openapi_extra=RAW)
async def hand_in(site: TheSite, say: Say, request: Request, filename: FileName) -> IncomingPackage:
    """Upload a file and see what it holds; it waits, for at most an hour, until it is imported or discarded."""
    held = HeldUpload(await received(site, request, filename), filename)
    try:
        view = await run_in_threadpool(looked_at, site, held, say)
        site.held.hold(held)
    except BaseException:
        held.upload.close()
        raise
    return view


@router.get("/incoming/packages/{number}")
def waiting(site: TheSite, say: Say, number: str, allow_code: AllowCode = False) -> IncomingPackage:
    """What a file that waits holds."""
    return looked_at(site, site.held.get(number), say, allow_code=allow_code)


@router.delete("/incoming/packages/{number}", status_code=204)
def discard(site: TheSite, number: str) -> Response:
    """Delete a file that waits."""
    site.held.take(number).upload.close()
    return Response(status_code=204)


@router.post("/incoming/packages/{number}/import", status_code=202)
def import_waiting(site: TheSite, number: str, body: ImportRequest | None = None) -> LongTask:
    """Import a file that waits, or put it in the place of a package; where that fails it waits on."""
    request = body or ImportRequest()
    held = site.held.take(number)

    def work(context: Context) -> str:
        try:
            told = _brought_in(context, held.path, request)
        except BaseException:
            site.held.give_back(held)
            raise
        held.upload.close()
        return told

    try:
        kind = "upgrade" if request.replaces else "import"
        return site.begin(kind, request.replaces or request.name or held.path.stem, work)
    except BaseException:
        site.held.give_back(held)
        raise


def _brought_in(context: Context, path: Path, request: ImportRequest) -> str:
    """What it comes to."""
    if name := request.replaces:
        loaded = upgrade(context, name, path, allow_code=request.allow_code, tasks=request.tasks)
        return f"{name} serves revision {loaded.revision}: {loaded.probe}." if loaded else f"Upgraded {name}."
    view = import_package(context, path, name=request.name or None, allow_code=request.allow_code, tasks=request.tasks)
    return f"Imported {view.name} ({view.type})."
