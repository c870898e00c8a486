"""Which role each use case of the REST API needs: one closed table. What it lacks nobody may ask for."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import HTTPException, Request

from tritonpm.catalogue.audit import Actor
from tritonpm.core.errors import RoleError
from tritonpm.core.roles import Role
from tritonpm.operations.audit import refused
from tritonpm.web.callers import ACTOR

_NAMES: Mapping[Role, tuple[str, ...]] = {
    Role.VIEW: (
        "packages", "show", "history", "diff", "config", "statistics", "users", "picture", "check", "projects",
        "jobs", "job", "operations", "operation", "events", "snapshots", "columns", "status", "policy", "audit", "me",
        "precisions",
    ),
    # What is there is run: nothing comes in, and nothing goes for good. An export hands a model out.
    Role.OPERATE: (
        "load", "unload", "start", "stop", "infer", "change", "calibrate", "optimise", "cancel", "resume", "roll_back",
        "begin", "promote", "abort", "use", "release", "export", "inspect",
        "compare", "measure",
    ),
    Role.ADMINISTER: (
        "bring_in", "hand_in", "waiting", "discard", "import_waiting", "upgrade", "begin_with_content", "rename",
        "remove",
    ),
}  # fmt: skip
# The role of each operation, by its operationId.
NEEDS: Mapping[str, Role] = {name: role for role, names in _NAMES.items() for name in names}


def actor_of(request: Request) -> Actor:
    """Who asks: nothing gets past the guard without it."""
    actor: Actor = request.scope[ACTOR]
    return actor


def allowed(request: Request) -> None:
    """Let in who has the role that a route needs. Raises RoleError, which is recorded.

    Who is refused again and again is kept waiting (HTTP 429): each refusal is written to the disk.
    """
    actor, name = actor_of(request), request.scope["route"].name
    needed = NEEDS.get(name)
    if needed is not None and actor.role.covers(needed):
        return
    if not request.app.state.refusals.take(actor.name):
        raise HTTPException(429, "Too many requests", {"Retry-After": "5"})
    why = (
        f"the role {actor.role.value} does not allow this; it needs {needed.value}" if needed else "nobody may do this"
    )
    with request.app.state.site.asked_by(actor).open() as context:
        refused(context, f"{request.method} {request.scope['route'].path}", request.path_params.get("name", ""), why)
    raise RoleError(why, do="ask the administrator of this page for a token with that role")
