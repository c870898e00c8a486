"""The try-it box: one inference with an image or an .npz, and what its answer means."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from tritonpm.web.answers import AnswerView, answered
from tritonpm.web.api.common import TheSite
from tritonpm.web.quarantine import inputs_of

router = APIRouter(tags=["inference"])
_RAW = {
    "requestBody": {
        "content": {
            kind: {"schema": {"format": "binary"}}
            for kind in ("application/octet-stream", "image/png", "image/jpeg", "image/bmp", "image/webp")
        }
    }
}


@router.post("/packages/{name}/infer", openapi_extra=_RAW)
async def infer(site: TheSite, request: Request, name: str) -> AnswerView:
    """One inference. The body is an .npz of inputs by name, or an image; empty, it is the package's own sample."""
    with inputs_of(site, await request.body()) as (inputs, folder):
        return await run_in_threadpool(answered, site, name, inputs, folder)
