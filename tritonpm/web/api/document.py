"""The OpenAPI document: what FastAPI says of the endpoints, with what it cannot know."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from tritonpm.web.api.common import PREFIX
from tritonpm.web.roles import NEEDS
from tritonpm.web.sessions import SESSION

_LOCATION = {
    "description": "How far an operation is, as it happens.",
    "schema": {"type": "string", "format": "uri-reference"},
    "example": f"{PREFIX}/operations/OxpicAfszWwE",
}
_NAME = {"name": "bolts", "project": "LINE-3", "filename": "bolts.zip"}  # what the examples are of
TAGS = {
    "packages": "Bring packages in, list, rename, export and remove them.",
    "settings": "Choose how a package runs; what the rules do not allow is reported before anything is changed.",
    "serving": "Triton itself, and what is loaded on it.",
    "jobs": "Optimisations: processes that compile models and prove that they answer as before.",
    "revisions": "What was published of a package, and the way back.",
    "canaries": "What is to replace a package, served beside it first.",
    "projects": "Who uses what.",
    "inference": "Send a package a request, and see what the answer means.",
    "monitor": "What the machine, its GPUs and the packages are doing.",
    "events": "What happens, as it happens.",
    "audit": "Who is asking, and who did what.",
}


def operation_id(route: APIRoute) -> str:
    """What a generator names the function: that of ours."""
    return route.name


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = FastAPI.openapi(app)
        for methods in made["paths"].values():
            for operation in methods.values():
                _completed(operation)
                operation["x-role"] = NEEDS[operation["operationId"]].value
        made["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
        made["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": SESSION, "description": "Of who has signed in."},
        }
        made["security"] = [{}, {"token": []}, {"session": []}]  # none on loopback
        app.openapi_schema = made
    return app.openapi_schema


def _completed(operation: dict[str, Any]) -> None:
    if accepted := operation["responses"].get("202"):
        accepted["headers"] = {"Location": _LOCATION}
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in _NAME:
            parameter.setdefault("example", _NAME[parameter["name"]])
