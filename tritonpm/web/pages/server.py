"""The server as the page shows it: its place on top, the question before it ends, its page and its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from tritonpm.core.errors import NotFoundError, ServerError, TritonpmError
from tritonpm.operations.context import Context
from tritonpm.operations.list import packages as list_packages
from tritonpm.operations.logs import logs
from tritonpm.operations.server import connect, has_server, own_server
from tritonpm.operations.status import status
from tritonpm.operations.usage import users_of_all
from tritonpm.triton.server import restarts, supervised
from tritonpm.web.api.common import Say, TheSite
from tritonpm.web.pages.render import rendered
from tritonpm.web.present import status_shown
from tritonpm.web.problems import shown
from tritonpm.web.site import Site
from tritonpm.web.tasks import RUNNING

router = APIRouter(include_in_schema=False)
_LINES = 500  # of the log
_SILENT = "not live"
_PATIENCE = 3.0  # seconds after which Triton does not answer: the header is looked at every five


@router.get("/server", response_class=HTMLResponse)
def server(request: Request, site: TheSite) -> HTMLResponse:
    """Whether Triton runs, whether one that has ended is started again, and how much of it is loaded."""
    loaded = wanted = 0
    with site.open() as context:
        state, version = _answers(context)
        if site.server is None:
            loaded, wanted = _loaded(context)
    return rendered(
        request, "server.html", state=state, server_version=version, loaded=loaded, wanted=wanted,
        again=site.server is None and supervised(site.workspace.server), ours=site.server is None,
        starting=any(task.kind == "start" and task.state == RUNNING for task in site.tasks.all()),
        meters=list(_meters(site)), restarts=restarts(site.workspace.server) if site.server is None else None,
    )  # fmt: skip


def _answers(context: Context) -> tuple[str, str]:
    """Whether Triton answers soon: its state and version."""
    if not has_server(context):
        return "stopped", ""
    try:
        with connect(context, timeout=_PATIENCE) as client:
            return ("live", client.server_version()) if client.live() else (_SILENT, "")
    except TritonpmError:
        return _SILENT, ""


def _loaded(context: Context) -> tuple[int, int]:
    """How many packages are loaded, of how many that shall be; one that failed to load is no more waited for."""
    views = {view.name: view for view in list_packages(context.catalogue)}
    wanted = [views[entry.name] for entry in context.catalogue.packages() if entry.wanted]
    waited = [view for view in wanted if view.status != "failed"]
    return sum(view.serves for view in waited), len(waited)


def _meters(site: Site) -> Iterator[tuple[str, float]]:
    """What is used of the machine, in percent, as the last snapshot has it."""
    for snapshot in site.ring.snapshots()[-1:]:
        machine = snapshot.machine
        for part in snapshot.gpus.devices[:1]:
            if part.utilisation is not None:
                yield "GPU", part.utilisation
        if machine.cpu_percent is not None:
            yield "CPU", machine.cpu_percent
        yield "Memory", 100 * machine.memory_used / machine.memory_total


@router.get("/server/stop", response_class=HTMLResponse)
def stopping(request: Request, site: TheSite, say: Say) -> HTMLResponse:
    """The question before Triton ends: what is loaded, and who uses it."""
    with site.open() as context:
        loaded = [view.name for view in list_packages(context.catalogue) if view.serves]
        users: dict[str, list[str]] = {}
        with suppress(ServerError):
            if _answers(context)[0] != _SILENT:  # which may just be why it is ended
                used = users_of_all(context)
                users = {name: [say.told(user) for user in names] for name, names in used.items()}
    return rendered(request, "stop.html", loaded=loaded, users=users)


@router.get("/triton", response_class=HTMLResponse)
def triton(request: Request, site: TheSite, say: Say) -> HTMLResponse:
    """The server: its addresses, what it serves, and where that is not what the workspace says."""
    view, reason, addresses = None, "", {}
    with site.open() as context:
        if own := own_server(context):
            addresses = {"HTTP": own.http, "gRPC": own.grpc, "Metrics": own.metrics}
        if _answers(context)[0] == _SILENT:
            reason = say("Triton does not answer")
        else:
            try:
                view = status_shown(status(context), site.root, say)
            except ServerError as error:
                reason = say.told(shown(error.what, site.root))
    return rendered(request, "triton.html", view=view, reason=reason, addresses=addresses)


@router.get("/logs", response_class=HTMLResponse)
def log(request: Request, site: TheSite) -> HTMLResponse:
    """The last lines of the server's log."""
    lines: list[str] = []
    with site.open() as context, suppress(NotFoundError):
        lines = [shown(line, site.root) for line in logs(context, _LINES, follow=False)]
    return rendered(request, "logs.html", lines=lines)
