"""The try-it box: one inference with an image, an .npz or a sample, and what its answer means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import fastapi
from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from tritonpm.core.units import MIB
from tritonpm.meaning.pictures import as_png
from tritonpm.operations.seen import sample_picture, seen
from tritonpm.web.answers import AnswerView, told
from tritonpm.web.api.common import Say, TheSite, new_router
from tritonpm.web.language import Language
from tritonpm.web.quarantine import inputs_of
from tritonpm.web.site import Site

router = new_router("inference")
_MOST_INPUT = 128 * MIB  # of one inference: on its way to Triton it is in memory about four times
_RAW = {
    "requestBody": {
        "content": {
            kind: {"schema": {"format": "binary"}}
            for kind in ("application/octet-stream", "image/png", "image/jpeg", "image/bmp", "image/webp")
        }
    }
}
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {"schema": {"format": "binary"}}}}}
_SAMPLE = "Which of the package's samples, from 1."
Sample = Annotated[int, Query(ge=1, description=_SAMPLE)]
Number = Annotated[int, fastapi.Path(ge=1, description=_SAMPLE)]
Row = Annotated[int, Query(ge=0, description="Which row of its input, from 0.")]
Side = Annotated[int | None, Query(ge=16, le=1024, description="The longest side in pixels; else as large as it is.")]
Owner = Annotated[str, Query(max_length=200, description="The package whose sample it is, where not NAME itself.")]
Version = Annotated[str, Query(pattern="^[0-9]{0,18}$", description="Of earlier content that is still served.")]


@router.post("/packages/{name}/infer", openapi_extra=_RAW)
async def infer(
    site: TheSite, say: Say, request: Request, name: str, sample: Sample = 1, of: Owner = "", version: Version = ""
) -> AnswerView:
    """One inference. The body is an .npz of inputs by name, or an image; empty, it is one of the package's samples."""
    with inputs_of(site, await request.body()) as inputs:
        return await run_in_threadpool(_answered, site, say, name, inputs, sample, of, version)


@router.get("/packages/{name}/samples/{number}/picture", response_class=Response, responses=_PNG)
def picture(site: TheSite, name: str, number: Number, row: Row = 0, side: Side = None) -> Response:
    """What a sample of the package shows, as a PNG."""
    with site.open() as context:
        shown = as_png(sample_picture(context, name, number, row), side)
    return Response(shown, media_type="image/png")


def _answered(
    site: Site, say: Language, name: str, inputs: Path | None, sample: int, of: str, version: str
) -> AnswerView:
    with site.open() as context:
        return told(seen(context, name, inputs, sample=sample, of=of, version=version, most=_MOST_INPUT), say)
