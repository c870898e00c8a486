"""The page's application: everything on one address, made by `create`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from tritonpm import __version__
from tritonpm.core.errors import TritonpmError
from tritonpm.core.extras import needed
from tritonpm.core.files import system_error
from tritonpm.triton.connection import Connection
from tritonpm.web import pages
from tritonpm.web.api import (
    audit,
    canaries,
    events,
    incoming,
    inference,
    jobs,
    monitor,
    packages,
    policy,
    revisions,
    serving,
    settings,
)
from tritonpm.web.api.common import PREFIX, language_of
from tritonpm.web.api.document import document
from tritonpm.web.callers import Callers
from tritonpm.web.language import HERE
from tritonpm.web.problems import MEDIA_TYPE, Problem, plain_problem, problem_of, problem_shown
from tritonpm.web.security import LOGIN, Buckets, Guard, PageAccess
from tritonpm.web.sessions import Sessions
from tritonpm.web.site import Site

API = (packages, incoming, settings, serving, jobs, revisions, canaries, inference, monitor, events, policy, audit)


def create(
    workspace: Path | None = None, *, server: Connection | str | None = None, metrics: str | None = None,
    access: PageAccess | None = None,
) -> FastAPI:  # fmt: skip
    """The application for a workspace; `server` is a Triton that somebody else runs, `metrics` its metrics endpoint.

    Raises NotFoundError, UsageError; RequirementError where people shall sign in and what that needs is not installed.
    """
    site = Site(workspace, server, metrics)
    app = FastAPI(
        title="tritonpm", version=__version__, openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None, redoc_url=None, lifespan=_lifespan,
        description="tritonpm over HTTP: every use case of the command line.", summary="Packages for Triton",
    )  # fmt: skip
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    app.state.site = site
    app.router.routes += [
        route for router in (*(module.router for module in API), *pages.ROUTERS) for route in router.routes
    ]
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.add_exception_handler(TritonpmError, _told)
    app.add_exception_handler(OSError, _refused_by_the_system)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)
    let_in = access or PageAccess()
    sessions = Sessions(let_in.oidc.hours * 3600) if let_in.oidc else None
    callers = Callers(let_in.token, let_in.tokens or site.workspace.tokens, closed=let_in.closed, sessions=sessions)
    if let_in.oidc and sessions:
        with needed("signing in", "oidc"):
            from tritonpm.web.sign_in import SignIn
        app.mount(LOGIN, SignIn(site, let_in.oidc, sessions, tls=let_in.tls).app())
    app.add_middleware(Guard, access=let_in, callers=callers)
    app.state.refusals = Buckets(let_in.changes, let_in.burst)  # of who is known, and may not do what they ask for
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    site: Site = app.state.site
    site.ring.start()
    tasks = [asyncio.create_task(site.watch()), asyncio.create_task(site.observe())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        site.hub.close()
        await asyncio.to_thread(site.ring.stop)
        await asyncio.to_thread(site.tasks.close)
        await asyncio.to_thread(site.held.close)


def answered(request: Request, problem: Problem) -> Response:
    """A problem as a response, in the language of the request."""
    say = language_of(request)
    problem = problem_shown(problem, say)
    if not _for_programs(request):
        return pages.failed(request, problem)
    headers = {"Content-Language": say.code, "Vary": "Accept-Language, Cookie"}
    return Response(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)


def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, TritonpmError)  # noqa: S101
    return answered(request, problem_of(error, request.app.state.site.root))


def _refused_by_the_system(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)  # noqa: S101
    return _told(request, system_error(error))


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    mistakes = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:20]]
    problem = plain_problem(422, "Malformed request", "; ".join(mistakes))
    return answered(request, problem)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    problem = plain_problem(error.status_code, str(error.detail))
    response = answered(request, problem)
    response.headers.update(error.headers or {})
    return response


def _bug(request: Request, error: Exception) -> Response:
    """Starlette raises it again once this is sent, so that the log has its traceback."""
    return JSONResponse(
        msgspec.to_builtins(plain_problem(500, "A bug in tritonpm", "the log of the page says more")),
        500, media_type=MEDIA_TYPE,
    )  # fmt: skip


def _for_programs(request: Request) -> bool:
    return request.url.path.startswith((PREFIX, "/static"))
