"""The OpenAPI document: what FastAPI says of the endpoints, with what it cannot know."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from tritonpm.web.api.common import PREFIX
from tritonpm.web.problems import MEDIA_TYPE, Problem
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

# What every endpoint may answer besides what it is for. Here and not with each route: FastAPI makes a validator for
# each answer of each route, which takes a second, and none is ever asked.
_PROBLEMS = {
    400: "The request makes no sense",
    401: "The token is missing, or not a valid one",
    403: "The caller's role does not allow it, or another site's page is asking",
    404: "No such package, job or revision",
    408: "The body came too slowly",
    409: "Taken, in use, or busy",
    413: "The body is too large",
    421: "The host is not one of this page's",
    422: "Refused, with the reason",
    429: "Too many requests from one address",
    502: "Triton is absent, or did not do what it was asked to",
    503: "Too little memory is free",
    507: "The disk is full",
}
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")  # of its 422, which is not ours


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = FastAPI.openapi(app)
        for methods in made["paths"].values():
            for operation in methods.values():
                _completed(operation)
                operation["x-role"] = NEEDS[operation["operationId"]].value
        schemas = made["components"]["schemas"]
        schemas[Problem.__name__] = TypeAdapter(Problem).json_schema()
        for name in _FASTAPIS_OWN:
            schemas.pop(name, None)
        made["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
        made["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": SESSION, "description": "Of who has signed in."},
        }
        made["security"] = [{}, {"token": []}, {"session": []}]  # none on loopback
        app.openapi_schema = made
    return app.openapi_schema


def _completed(operation: dict[str, Any]) -> None:
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    operation["responses"] |= {str(code): {"description": why, "content": content} for code, why in _PROBLEMS.items()}
    if accepted := operation["responses"].get("202"):
        accepted["headers"] = {"Location": _LOCATION}
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in _NAME:
            parameter.setdefault("example", _NAME[parameter["name"]])
