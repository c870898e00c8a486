"""Settings: changed, checked before they are, and what else could be chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from tritonpm.operations.context import Context
from tritonpm.operations.set import change as change_settings
from tritonpm.operations.set import change_live, choose
from tritonpm.operations.show import PackageDetails
from tritonpm.operations.show import show as show_package
from tritonpm.operations.usage import require_unused
from tritonpm.web.api.common import RAW, Accepting, Changes, FileName, Say, TheSite, new_router
from tritonpm.web.choices import Chooser, SettingChoices
from tritonpm.web.language import Language
from tritonpm.web.present import details_shown
from tritonpm.web.quarantine import SAMPLES, received, unpacked
from tritonpm.web.site import Site
from tritonpm.web.tasks import LongTask

router = new_router("settings", Accepting)


class SettingsChange(Changes):
    """`live` brings the change to the server at once, with no request failed; `unused`: only where nobody uses it.

    `unset` are settings that go back to what the package started with.
    """

    changes: dict[str, Any] = Field(default_factory=dict)
    unset: list[str] = Field(default_factory=list)
    live: bool = False
    unused: bool = False


@router.patch("/packages/{name}/settings", responses={202: {"model": LongTask}})
def change(site: TheSite, say: Say, name: str, body: SettingsChange, response: Response) -> PackageDetails | LongTask:
    """Change settings; what is changed live is an operation (202)."""
    if not body.live:
        with site.open() as context:
            return details_shown(
                change_settings(context, name, body.changes, stage=body.stage, unset=body.unset), site.root, say
            )

    def work(context: Context) -> str:
        if body.unused:
            require_unused(context, name, "wait until they are done, or change it live")
        loaded = change_live(context, name, body.changes, stage=body.stage, unset=body.unset)
        return f"{name} serves revision {loaded.revision}: {loaded.probe}." if loaded else f"Changed {name}."

    with site.open() as context:  # what no rule allows is told at once
        Chooser(context, context.catalogue.get(name), Language("en", {}), body.stage).require(body.changes, body.unset)
    response.status_code = 202
    return site.begin("set", name, work)


@router.post("/packages/{name}/settings/check")
def check(site: TheSite, say: Say, name: str, body: Changes) -> SettingChoices:
    """What changes would lead to: the settings, what the rules say of them, and what else could be chosen."""
    with site.open() as context:
        return Chooser(context, context.catalogue.get(name), say, body.stage).choices(body.changes)


@router.post("/packages/{name}/calibration", openapi_extra=RAW)
async def calibrate(
    site: TheSite, say: Say, request: Request, name: str, filename: FileName, stage: str | None = None
) -> PackageDetails:
    """What INT8 is calibrated on: an .npz of inputs, an image, or a .zip of these, in place of what was there."""
    with await received(site, request, filename, SAMPLES) as upload:
        return await run_in_threadpool(_calibrated, site, say, name, stage, upload.path)


def _calibrated(site: Site, say: Language, name: str, stage: str | None, samples: Path) -> PackageDetails:
    """What is served stays as it is until the package is optimised or switched: so also where it is in use."""
    with unpacked(site, samples) as folder, site.open() as context:
        choose(context, name, {}, stage=stage, calibration=folder)
        return details_shown(show_package(context, name), site.root, say)
