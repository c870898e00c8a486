"""What needs Triton: load, unload, the server itself, and what is asked of models."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import Field

from tritonpm.operations import usage
from tritonpm.operations.context import Context
from tritonpm.operations.load import load as load_package
from tritonpm.operations.status import StatusView
from tritonpm.operations.status import status as server_status
from tritonpm.operations.stop import stop as stop_server
from tritonpm.operations.supervise import start as start_server
from tritonpm.operations.unload import unload as unload_package
from tritonpm.web.api.common import Accepting, Body, Say, TheSite, new_router
from tritonpm.web.present import status_shown
from tritonpm.web.statistics import ModelStatistics, statistics_of
from tritonpm.web.tasks import LongTask

router = new_router("serving", Accepting)


class LoadRequest(Body):
    """How to load: with a probe inference or without, and within how many seconds."""

    probe: bool = True
    timeout: Annotated[float, Field(gt=0, le=3600)] = 300.0


class UnloadRequest(Body):
    """`force` also where it is in use."""

    force: bool = False


@router.post("/packages/{name}/load", status_code=202)
def load(site: TheSite, name: str, body: LoadRequest | None = None) -> LongTask:
    """Publish a package, load it, and prove by an inference that it answers."""
    request = body or LoadRequest()
    with site.open() as context:
        context.catalogue.get(name)

    def work(context: Context) -> str:
        loaded = load_package(context, name, probe=request.probe, timeout=request.timeout)
        return f"Loaded {name}, revision {loaded.revision}: {loaded.probe}."

    return site.begin("load", name, work)


@router.post("/packages/{name}/unload", status_code=202)
def unload(site: TheSite, name: str, body: UnloadRequest | None = None) -> LongTask:
    """Unload a package from the server; refused while it is in use, unless forced."""
    request = body or UnloadRequest()
    with site.open() as context:
        context.catalogue.get(name)

    def work(context: Context) -> str:
        unload_package(context, name, force=request.force)
        return f"Unloaded {name}."

    return site.begin("unload", name, work)


@router.get("/packages/{name}/statistics")
def statistics(site: TheSite, name: str) -> list[ModelStatistics]:
    """What the package's models have done on the server so far; of a cascade, its members too."""
    with site.open() as context:
        context.catalogue.get(name)
        return statistics_of(context, name)


@router.get("/packages/{name}/users")
def users(site: TheSite, name: str) -> list[str]:
    """Who uses a package: projects, and clients that are not registered."""
    with site.open() as context:
        context.catalogue.get(name)
        return usage.users(context, name)


@router.get("/server")
def status(site: TheSite, say: Say) -> StatusView:
    """The server's side and the workspace's, together."""
    with site.open() as context:
        return status_shown(server_status(context), site.root, say)


@router.post("/server/start", status_code=202)
def start(site: TheSite) -> LongTask:
    """Start this workspace's Triton on loopback, and load what was loaded before."""

    def work(context: Context) -> str:
        version, failed = start_server(context)
        return f"Triton {version} is live." + (f" Not loaded: {', '.join(failed)}." if failed else "")

    return site.begin("start", "", work)


@router.post("/server/stop", status_code=202)
def stop(site: TheSite, timeout: Annotated[float, Query(gt=0, le=600)] = 30.0) -> LongTask:
    """Stop this workspace's Triton; requests in flight are finished first."""

    def work(context: Context) -> str:
        return "Stopped." if stop_server(context, timeout) else "No server was running."

    return site.begin("stop", "", work)
