"""What needs Triton: load, unload, the server itself, and what is asked of models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from tritonpm.operations import usage
from tritonpm.operations.context import Context
from tritonpm.operations.load import load as load_package
from tritonpm.operations.serve import load_all_proved, serve
from tritonpm.operations.serve import stop as stop_server
from tritonpm.operations.status import StatusView
from tritonpm.operations.status import status as server_status
from tritonpm.operations.supervise import supervise_detached
from tritonpm.operations.unload import unload as unload_package
from tritonpm.web.api.common import Body, TheSite
from tritonpm.web.operations import Operation
from tritonpm.web.present import status_shown
from tritonpm.web.statistics import ModelStatistics, statistics_of

router = APIRouter(tags=["serving"])


class Load(Body):
    """How to load: with a probe inference or without, and within how many seconds."""

    probe: bool = True
    timeout: Annotated[float, Field(gt=0, le=3600)] = 300.0


class Unload(Body):
    """`force` also where it is in use."""

    force: bool = False


@router.post("/packages/{name}/load", status_code=202)
def load(site: TheSite, name: str, body: Load | None = None) -> Operation:
    """Publish a package, load it, and prove by an inference that it answers."""
    asked = body or Load()
    with site.open() as context:
        context.catalogue.get(name)

    def work(context: Context) -> str:
        loaded = load_package(context, name, probe=asked.probe, timeout=asked.timeout)
        return f"Loaded {name}, revision {loaded.revision}: {loaded.probe}."

    return site.operate("load", name, work)


@router.post("/packages/{name}/unload", status_code=202)
def unload(site: TheSite, name: str, body: Unload | None = None) -> Operation:
    """Unload a package from the server; refused while it is in use, unless forced."""
    asked = body or Unload()
    with site.open() as context:
        context.catalogue.get(name)

    def work(context: Context) -> str:
        unload_package(context, name, force=asked.force)
        return f"Unloaded {name}."

    return site.operate("unload", name, work)


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
def status(site: TheSite) -> StatusView:
    """The server's side and the workspace's, together."""
    with site.open() as context:
        return status_shown(server_status(context), site.root)


@router.post("/server/start", status_code=202)
def start(site: TheSite) -> Operation:
    """Start this workspace's Triton on loopback, and load what was loaded before."""

    def work(context: Context) -> str:
        view = serve(context, None, detach=True, timeout=60.0)
        failed = [name for name, reason in load_all_proved(context) if reason]
        supervise_detached(context)
        return f"Triton {view.version} is live." + (f" Not loaded: {', '.join(failed)}." if failed else "")

    return site.operate("start", "", work)


@router.post("/server/stop", status_code=202)
def stop(site: TheSite, timeout: Annotated[float, Query(gt=0, le=600)] = 30.0) -> Operation:
    """Stop this workspace's Triton; requests in flight are finished first."""

    def work(context: Context) -> str:
        return "Stopped." if stop_server(context, timeout) else "No server was running."

    return site.operate("stop", "", work)
