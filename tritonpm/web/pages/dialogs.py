"""What opens over a page: configure, new version, rename, roll back, unregister."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from tritonpm.core.errors import RuleError
from tritonpm.operations.context import Context
from tritonpm.operations.history import history as package_history
from tritonpm.operations.list import PackageView
from tritonpm.operations.list import packages as list_packages
from tritonpm.operations.optimize.precisions import precisions
from tritonpm.operations.usage import users
from tritonpm.settings.rule import MOST_BATCH
from tritonpm.settings.settings import Settings
from tritonpm.web.api.common import Say, TheSite
from tritonpm.web.batch_memory import batch_memory
from tritonpm.web.choices import VALUES, Chooser, differences
from tritonpm.web.language import Language
from tritonpm.web.pages.render import rendered
from tritonpm.web.present import package_shown
from tritonpm.web.quarantine import SAMPLES, SUFFIXES
from tritonpm.web.site import Site

router = APIRouter(include_in_schema=False)
_NUMBERS = ("instances", "max_batch_size", "queue_delay_us", "idle_seconds", "kept_versions")
_LIMITED = ("instances", "max_batch_size", "kept_versions")  # what some packages cannot have more than one of
_TRIED = ("mode", "device", "precision", "optimizer", "backend")  # of a canary
_BATCHES = (0, 1, *(2**power for power in range(1, 10)))  # that the slider offers
_FLAGS = ("dynamic_batching", "warmup", "response_cache")


@router.get("/packages/{name}/configure", response_class=HTMLResponse)
def configure(request: Request, site: TheSite, say: Say, name: str) -> HTMLResponse:
    """The settings of a package, as they are."""
    return rendered(request, "configure.html", **_configuring(site, say, name, None))


@router.post("/packages/{name}/configure", response_class=HTMLResponse)
async def reconfigure(request: Request, site: TheSite, say: Say, name: str) -> HTMLResponse:
    """The same with what the form holds, and what the rules say of that; nothing is changed yet."""
    form = dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True, max_num_fields=64))
    values = await run_in_threadpool(_configuring, site, say, name, form)
    return rendered(request, "configure.html", **values)


def _configuring(site: Site, say: Language, name: str, form: dict[str, str] | None) -> dict[str, Any]:
    problem, changes = "", {}
    snapshots = site.ring.snapshots()
    with site.open() as context:
        record = context.catalogue.get(name)
        stage = (form or {}).get("stage") or None
        chooser = Chooser(context, record, say, stage)
        if form and form.get("was", "") == (stage or ""):
            before = record.settings.for_stage(stage) if stage else record.settings
            changes = differences(before, _read(form))
        try:
            choices = chooser.choices(changes)
        except RuleError as error:
            problem, changes = error.what, {}
            choices = chooser.choices({})
        forbidden = {field: chooser.why_one(changes, field) for field in _LIMITED}
        view = _row_of(context, name, site.root, say)
        known = {} if stage else {view.precision: view for view in precisions(context, name)}
    return {
        "view": view, "stage": stage, "choices": choices, "settings": _plain(choices.settings), "changes": changes,
        "problem": problem, "forbidden": forbidden, "most_batch": MOST_BATCH, "samples": SAMPLES, "effects": known,
        "memory": batch_memory(record.package, snapshots), "batches": _BATCHES,
        "advanced": (form or {}).get("advanced", ""),
    }  # fmt: skip


def _read(form: dict[str, str]) -> dict[str, object]:
    """The settings that a form holds, of an empty number the usual one; one that is none the settings refuse."""
    values: dict[str, object] = {}
    for field in form.keys() & set(_NUMBERS):
        text = form[field].strip()
        values[field] = _number(text) if text else getattr(Settings(), field)
    for field in form.keys() & VALUES.keys():
        values[field] = (form[field] or None) if field == "backend" else form[field]
    return values | {field: form.get(field) == "true" for field in _FLAGS}


def _number(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdecimal() else text


def _plain(settings: object) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(settings)  # type: ignore[call-overload,no-any-return]


@router.get("/packages/{name}/newer", response_class=HTMLResponse)
def newer(request: Request, site: TheSite, say: Say, name: str) -> HTMLResponse:
    """Another content or other settings, beside the package or in its place; or what becomes of its canary."""
    with site.open() as context:
        record = context.catalogue.get(name)
        canaries = [entry.name for entry in context.catalogue.packages() if entry.canary_of == name]
        options = Chooser(context, record, say).choices({}, _TRIED).options
    return rendered(
        request, "newer.html", view=_view(site, name, say), suffixes=SUFFIXES, options=options,
        canary=next(iter(canaries), ""), of=record.canary_of,
    )  # fmt: skip


@router.get("/packages/{name}/remove", response_class=HTMLResponse)
def remove(request: Request, site: TheSite, say: Say, name: str) -> HTMLResponse:
    """The question before a package goes: who uses it."""
    with site.open() as context:
        context.catalogue.get(name)
        names = [say.told(user) for user in users(context, name)]
    return rendered(request, "remove.html", view=_view(site, name, say), users=names)


@router.get("/packages/{name}/rename", response_class=HTMLResponse)
def rename(request: Request, site: TheSite, say: Say, name: str) -> HTMLResponse:
    """Another name."""
    return rendered(request, "rename.html", view=_view(site, name, say))


@router.get("/packages/{name}/back", response_class=HTMLResponse)
def back(
    request: Request, site: TheSite, say: Say, name: str, to: Annotated[int | None, Query(ge=1)] = None
) -> HTMLResponse:
    """The revisions to go back to: first where the next roll-back goes, then those that served, in its order.

    `to` is the one that is chosen already.
    """
    with site.open() as context:
        revisions = sorted(
            package_history(context, name), key=lambda kept: (not kept.next, not kept.served, kept.served or 0)
        )
    return rendered(request, "back.html", view=_view(site, name, say), revisions=revisions, to=to)


def _view(site: Site, name: str, say: Language) -> PackageView:
    with site.open() as context:
        context.catalogue.get(name)
        return _row_of(context, name, site.root, say)


def _row_of(context: Context, name: str, root: Path, say: Language) -> PackageView:
    """A package as the list shows it."""
    return next(package_shown(view, root, say) for view in list_packages(context.catalogue) if view.name == name)
