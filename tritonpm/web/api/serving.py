"""What needs Triton: load, unload, the server itself, and what is asked of models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from tritonpm.operations.serving import Serving
from tritonpm.operations.views import StatusView
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
    with site.manager() as manager:
        manager.catalogue.get(name)

    def work(serving: Serving) -> str:
        loaded = serving.load(name, probe=asked.probe, timeout=asked.timeout)
        return f"Loaded {name}, revision {loaded.revision}: {loaded.probe}."

    return site.operate("load", name, work)


@router.post("/packages/{name}/unload", status_code=202)
def unload(site: TheSite, name: str, body: Unload | None = None) -> Operation:
    """Unload a package from the server; refused while it is in use, unless forced."""
    asked = body or Unload()
    with site.manager() as manager:
        manager.catalogue.get(name)

    def work(serving: Serving) -> str:
        serving.unload(name, force=asked.force)
        return f"Unloaded {name}."

    return site.operate("unload", name, work)


@router.get("/packages/{name}/statistics")
def statistics(site: TheSite, name: str) -> list[ModelStatistics]:
    """What the package's models have done on the server so far; of a cascade, its members too."""
    with site.serving() as serving:
        serving.manager.catalogue.get(name)
        return statistics_of(serving, name)


@router.get("/packages/{name}/users")
def users(site: TheSite, name: str) -> list[str]:
    """Who uses a package: projects, and clients that are not registered."""
    with site.serving() as serving:
        serving.manager.catalogue.get(name)
        return serving.users(name)


@router.get("/server")
def status(site: TheSite) -> StatusView:
    """The server's side and the workspace's, together."""
    with site.serving() as serving:
        return status_shown(serving.status(), site.root)


@router.post("/server/start", status_code=202)
def start(site: TheSite) -> Operation:
    """Start this workspace's Triton on loopback, and load what was loaded before."""

    def work(serving: Serving) -> str:
        view = serving.serve(None, detach=True, timeout=60.0)
        failed = [name for name, reason in serving.load_wanted() if reason]
        serving.supervised()
        return f"Triton {view.version} is live." + (f" Not loaded: {', '.join(failed)}." if failed else "")

    return site.operate("start", "", work)


@router.post("/server/stop", status_code=202)
def stop(site: TheSite, timeout: Annotated[float, Query(gt=0, le=600)] = 30.0) -> Operation:
    """Stop this workspace's Triton; requests in flight are finished first."""

    def work(serving: Serving) -> str:
        return "Stopped." if serving.stop(timeout) else "No server was running."

    return site.operate("stop", "", work)
