"""What was published: listed, compared, gone back to; and who uses it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response
from fastapi.responses import PlainTextResponse
from pydantic import Field

from tritonpm.catalogue.leases import Lease
from tritonpm.operations.context import Context
from tritonpm.operations.diff import differences
from tritonpm.operations.history import RevisionView
from tritonpm.operations.history import history as package_history
from tritonpm.operations.projects import projects as all_projects
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.rollback import rollback
from tritonpm.operations.use import release as release_package
from tritonpm.operations.use import use as use_package
from tritonpm.web.api.common import Accepting, Body, TheSite, new_router
from tritonpm.web.tasks import LongTask

router = new_router("revisions", Accepting)


class RollbackRequest(Body):
    """Which revision to go back to; the one before where none is named."""

    revision: Annotated[int | None, Field(ge=1)] = None


class UseRequest(Body):
    """For how many seconds a project uses a package."""

    ttl: Annotated[float, Field(gt=0)] = 60.0


@router.get("/packages/{name}/history")
def history(site: TheSite, name: str) -> list[RevisionView]:
    """The revisions that are kept, the newest first."""
    with site.open() as context:
        return package_history(context, name)


@router.get("/packages/{name}/diff", response_class=PlainTextResponse)
def diff(site: TheSite, name: str, one: int, other: int | None = None) -> str:
    """Two revisions, line by line; the second is the current one where it is not named."""
    with site.open() as context:
        return "\n".join(differences(context, name, one, other))


@router.get("/packages/{name}/config")
def config(site: TheSite, name: str) -> dict[str, str]:
    """The generated config.pbtxt of each model, as the settings ask for it now."""
    with site.open() as context:
        revision = wanted_revision(context, name)
    return {
        model.name: file.text or ""
        for model in revision.models
        for file in model.files
        if file.path == "config.pbtxt"
    }  # fmt: skip


@router.post("/packages/{name}/rollback", status_code=202)
def roll_back(site: TheSite, name: str, body: RollbackRequest | None = None) -> LongTask:
    """Go back to an earlier revision, its content and its settings; where the package is loaded, live."""
    number = body.revision if body else None
    with site.open() as context:
        context.catalogue.get(name)

    def work(context: Context) -> str:

        loaded = rollback(context, name, number)
        return f"{name} serves revision {loaded.revision}: {loaded.probe}." if loaded else f"{name} was rolled back."

    return site.begin("rollback", name, work)


@router.get("/projects", tags=["projects"])
def projects(site: TheSite) -> list[Lease]:
    """Who uses what."""
    with site.open() as context:
        return all_projects(context)


@router.put("/packages/{name}/projects/{project:path}", tags=["projects"])
def use(site: TheSite, name: str, project: str, body: UseRequest | None = None) -> Lease:
    """Declare that a project uses a package; repeat it to renew that."""
    with site.open() as context:
        return use_package(context, name, project, (body or UseRequest()).ttl)


@router.delete("/packages/{name}/projects/{project:path}", tags=["projects"], status_code=204)
def release(site: TheSite, name: str, project: str) -> Response:
    """A project no longer uses a package."""
    with site.open() as context:
        release_package(context, name, project)
    return Response(status_code=204)
