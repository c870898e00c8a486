"""Packages: listed, brought in, shown, renamed, removed, exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.background import BackgroundTask

from tritonpm.operations.context import Context
from tritonpm.operations.export import export as export_package
from tritonpm.operations.import_package import import_package
from tritonpm.operations.inspect import Inspection
from tritonpm.operations.list import packages as list_packages
from tritonpm.operations.remove import remove as remove_package
from tritonpm.operations.rename import rename as rename_package
from tritonpm.operations.show import PackageDetails
from tritonpm.operations.show import show as show_package
from tritonpm.operations.upgrade import upgrade as upgrade_package
from tritonpm.web import listing
from tritonpm.web.api.common import (
    RAW,
    Accepting,
    AllowCode,
    Body,
    ChangesBeside,
    FileName,
    Say,
    TheSite,
    changes_in,
    new_router,
)
from tritonpm.web.held import Upload
from tritonpm.web.language import Language
from tritonpm.web.listing import MOST_ROWS, ListPage, page_shown
from tritonpm.web.present import details_shown
from tritonpm.web.quarantine import received
from tritonpm.web.site import Site
from tritonpm.web.tasks import LongTask

router = new_router("packages", Accepting)


Sort = Annotated[
    str, Query(pattern=f"^-?({'|'.join(listing.SORTS)})$", description="What to sort by; with - before it, descending.")
]


Mode = Literal["", "shared", "performance"]
Device = Literal["", "cpu", "gpu", "gpu-optimised"]
Precision = Literal["", "FP32", "FP16", "INT8"]
Status = Literal["", "imported", "optimising", "ready", "loaded", "failed"]


class NewName(Body):
    """Another name."""

    new_name: str = Field(max_length=64)


@router.get("/packages")
def packages(
    site: TheSite, say: Say,
    q: Annotated[str, Query(description="Words in the name, type, version, stages or projects.")] = "",
    type: Annotated[str, Query(description="One of the answer's `types`.")] = "", project: str = "",
    mode: Mode = "", device: Device = "", precision: Precision = "", status: Status = "", sort: Sort = "name",
    page: Annotated[int, Query(ge=1)] = 1, size: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50,
) -> ListPage:  # fmt: skip
    """A page of the list of packages."""
    query = listing.Query(q, type, project, mode, device, precision, status, sort, page, size)
    return listed(site, query, say)


def listed(site: Site, query: listing.Query, say: Language) -> ListPage:
    """The page of the list that a query asks for."""
    with site.open() as context:
        return page_shown(list_packages(context.catalogue), query, site.root, say)


@router.post("/packages", status_code=202, openapi_extra=RAW)
async def bring_in(
    site: TheSite, request: Request, filename: FileName, name: str | None = None, allow_code: AllowCode = False
) -> LongTask:
    """Bring a package in: the body is the file, streamed to the disk and then read and refused or kept."""
    upload = await received(site, request, filename)

    def work(context: Context) -> str:
        with upload:
            view = import_package(context, upload.path, name=name or None, allow_code=allow_code)
        return f"Imported {view.name} ({view.type})."

    return started(site, upload, "import", name or upload.path.name, work)


@router.post("/packages/{name}/upgrade", status_code=202, openapi_extra=RAW)
async def upgrade(
    site: TheSite, request: Request, name: str, filename: FileName, allow_code: AllowCode = False,
    beside: ChangesBeside = "",
) -> LongTask:  # fmt: skip
    """Put other content under the same name, with `changes` to its settings; where the package is loaded, live."""
    changes = changes_in(beside)
    upload = await received(site, request, filename)

    def work(context: Context) -> str:
        with upload:
            loaded = upgrade_package(context, name, upload.path, changes, allow_code=allow_code)
        return f"{name} serves revision {loaded.revision}: {loaded.probe}." if loaded else f"Upgraded {name}."

    return started(site, upload, "upgrade", name, work)


@router.post("/inspections", openapi_extra=RAW)
async def inspect(site: TheSite, request: Request, filename: FileName) -> Inspection:
    """What a file holds; nothing is kept."""
    from starlette.concurrency import run_in_threadpool

    from tritonpm.operations.inspect import inspect as inspected

    with await received(site, request, filename) as upload:
        return await run_in_threadpool(inspected, upload.path)


@router.get("/packages/{name}")
def show(site: TheSite, say: Say, name: str) -> PackageDetails:
    """Everything about one package."""
    with site.open() as context:
        return details_shown(show_package(context, name), site.root, say)


@router.delete("/packages/{name}", status_code=204)
def remove(site: TheSite, name: str) -> Response:
    """Forget a package; refused while it is loaded or in use, naming the users."""
    with site.open() as context:
        remove_package(context, name)
    return Response(status_code=204)


@router.post("/packages/{name}/rename")
def rename(site: TheSite, say: Say, name: str, body: NewName) -> PackageDetails:
    """Give a package another name; it must not be loaded."""
    with site.open() as context:
        rename_package(context, name, body.new_name)
        return details_shown(show_package(context, body.new_name), site.root, say)


@router.get("/packages/{name}/export", response_class=FileResponse)
def export(site: TheSite, name: str) -> FileResponse:
    """The package as a .zip, as `import` reads it."""
    from contextlib import ExitStack

    held = ExitStack()
    try:
        folder = held.enter_context(site.workspace.scratch("export"))
        with site.open() as context:
            written = export_package(context, name, folder / f"{name}.zip")
    except BaseException:
        held.close()
        raise
    done = BackgroundTask(held.close)
    return FileResponse(written, media_type="application/zip", filename=f"{name}.zip", background=done)


def started(site: Site, upload: Upload, kind: str, package: str, work: Callable[[Context], str]) -> LongTask:
    """Work with a file that came in; it goes where the work cannot begin. Raises BusyError."""
    try:
        return site.begin(kind, package, work)
    except BaseException:
        upload.close()
        raise
