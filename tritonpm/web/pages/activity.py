"""Who did what, when and from where, and how it ended."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from tritonpm.catalogue.audit import BEGUN, DONE, FAILED, OIDC, OPEN, REFUSED, TOKEN, USER
from tritonpm.operations.audit import AuditView, audit_page
from tritonpm.operations.context import Context
from tritonpm.web.api.common import Say, TheSite
from tritonpm.web.language import Language
from tritonpm.web.pages.render import rendered
from tritonpm.web.present import audit_shown
from tritonpm.web.site import Site

router = APIRouter(include_in_schema=False)
_ROWS = 50
# What is recorded, in words; what is not here is shown as it is: a request, a command.
ACTIONS = {
    "import": "Import", "adopt": "Import", "pull": "Import", "export": "Export", "rename": "Rename",
    "remove": "Unregister", "set": "Configure", "optimize": "Optimise", "jobs cancel": "Cancel a job",
    "jobs resume": "Resume a job", "tune": "Tune", "measure": "Measure", "load": "Load", "unload": "Unload",
    "reload": "Load again", "upgrade": "New version", "rollback": "Roll back", "prune": "Delete old revisions",
    "canary": "Serve as a canary", "promote": "Promote", "abort": "Discard canary", "release": "Release",
    "serve": "Start Triton", "stop": "Stop Triton", "publish": "Publish", "push": "Push",
    "policy set": "Set the policy", "policy clear": "Clear the policy", "token add": "Add a token",
    "token remove": "Remove a token", "sign in": "Sign in",
}  # fmt: skip
OUTCOMES = {BEGUN: "not ended", DONE: "done", FAILED: "failed", REFUSED: "refused"}
OUTCOME_CLASSES = {BEGUN: "optimising", DONE: "loaded", FAILED: "failed", REFUSED: "failed"}
WAYS = {USER: "user", TOKEN: "token", OIDC: "sign-in", OPEN: "no sign-in"}
Text = Annotated[str, Query(max_length=200)]


@router.get("/activity", response_class=HTMLResponse)
def activity(
    request: Request, site: TheSite, say: Say, package: Text = "", who: Text = "", page: Annotated[int, Query(ge=1)] = 1
) -> HTMLResponse:
    """The record, the newest first."""
    with site.open() as context:
        entries, total = entries_of(site, context, say, min(page, 1_000_000), package=package, who=who)
    pages = max(1, -(-total // _ROWS))
    return rendered(
        request, "activity.html", entries=entries, page=min(page, pages), pages=pages, package=package, who=who,
        **WORDS,
    )  # fmt: skip


def entries_of(
    site: Site, context: Context, say: Language, page: int = 1, *, package: str = "", who: str = ""
) -> tuple[list[AuditView], int]:
    """A page of the record as a client may see it, and how many entries there are."""
    entries, total = audit_page(context, page, _ROWS, package=package, who=who)
    return [audit_shown(entry, site.root, say) for entry in entries], total


# What the template of the entries needs besides them.
WORDS: dict[str, Any] = {"actions": ACTIONS, "outcomes": OUTCOMES, "outcome_classes": OUTCOME_CLASSES, "ways": WAYS}
