"""Who is asking, and who did what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Response

from tritonpm.core.roles import Role
from tritonpm.operations.audit import AuditView, audit_page
from tritonpm.web.api.common import PREFIX, Caller, Say, TheSite, new_router
from tritonpm.web.listing import MOST_ROWS
from tritonpm.web.present import audit_shown
from tritonpm.web.roles import NEEDS

router = new_router("audit")


@dataclass(frozen=True)
class CallerView:
    """Who asks; `way` is token, oidc, or open (of loopback), `operations` are the operationIds that the role covers."""

    name: str
    role: Role
    way: str
    operations: tuple[str, ...]


@router.get("/me")
def me(caller: Caller) -> CallerView:
    """Who is asking, and what they may do."""
    operations = tuple(name for name, needed in NEEDS.items() if caller.role.covers(needed))
    return CallerView(caller.name, caller.role, caller.way, operations)


@router.get("/audit")
def audit(
    site: TheSite, say: Say, response: Response,
    package: Annotated[str, Query(max_length=200, description="What was done with this package.")] = "",
    who: Annotated[str, Query(max_length=200, description="What this user, token or account did.")] = "",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1, size: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50,
) -> list[AuditView]:  # fmt: skip
    """Who did what, when and from where, and how it ended: the newest first, by commands and programs, too.

    X-Total-Count says how much there is, Link where the next are.
    """
    with site.open() as context:
        entries, total = audit_page(context, page, size, package=package, who=who)
    response.headers["X-Total-Count"] = str(total)
    if page * size < total:
        query = "".join(f"&{name}={quote(value)}" for name, value in (("package", package), ("who", who)) if value)
        response.headers["Link"] = f'<{PREFIX}/audit?page={page + 1}&size={size}{query}>; rel="next"'
    return [audit_shown(entry, site.root, say) for entry in entries]
