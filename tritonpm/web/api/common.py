"""What the API's modules share: the site of a request, and what the bodies hold."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from tritonpm.catalogue.audit import Actor
from tritonpm.core.errors import UsageError
from tritonpm.web.language import COOKIE, Language, negotiated
from tritonpm.web.roles import actor_of, allowed
from tritonpm.web.site import Site

PREFIX = "/api/v1"


class Accepting(APIRoute):
    """A route whose 202 says where what was begun is told."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the header."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            response = await handler(request)
            if response.status_code == 202:
                number = msgspec.json.decode(response.body)["id"]
                place = "operations" if isinstance(number, str) else "jobs"
                response.headers["Location"] = f"{PREFIX}/{place}/{number}"
            return response

        return handle


def operation_id(route: APIRoute) -> str:
    """What a generator names the function: that of ours."""
    return route.name


def new_router(tag: str, route_class: type[APIRoute] = APIRoute) -> APIRouter:
    """Whose routes are whole as they are made: of a router that is included FastAPI makes each a second time."""
    return APIRouter(
        prefix=PREFIX, tags=[tag], dependencies=[Depends(allowed)], route_class=route_class,
        generate_unique_id_function=operation_id,
    )  # fmt: skip


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site.asked_by(actor_of(request))


def language_of(request: Request) -> Language:
    """The language that a request is answered in."""
    return negotiated(request.headers.get("accept-language", ""), request.cookies.get(COOKIE, ""))


# A body that is a file, and the name that it has.
RAW: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"format": "binary"}}}}
}
FileName = Annotated[str, Query(description="The file's name; its suffix says what it is.", max_length=255)]
AllowCode = Annotated[bool, Query(description="Accept content that runs code on load.")]
ChangesBeside = Annotated[
    str, Query(alias="changes", description="Settings to change, by name, as a JSON object.", max_length=2000)
]
Caller = Annotated[Actor, Depends(actor_of)]
TheSite = Annotated[Site, Depends(_site)]
Say = Annotated[Language, Depends(language_of)]


def changes_in(text: str) -> dict[str, Any]:
    """The settings that come beside a file. Raises UsageError."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"are not settings ({error})", where="changes", do="give a JSON object") from None


class Body(BaseModel):
    """A JSON body; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid")


class Changes(Body):
    """Settings to change, by name; of one stage where it is named."""

    changes: dict[str, Any]
    stage: str | None = None
