"""`tritonpm schema`: the JSON Schemas of what people write and of what commands print, for editors and programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import msgspec

from tritonpm.core.text import API_VERSION
from tritonpm.operations.declaration import Declaration
from tritonpm.operations.policy import AttestationDocument, PolicyDocument, TrustedFiles
from tritonpm.package.manifest import Manifest
from tritonpm.settings.settings import Settings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of one of `KINDS`; its `$id` is a name, and no place that it could be fetched from."""
    body = KINDS[kind]()
    return {"$schema": _DIALECT, "$id": f"urn:tritonpm:schema:{kind}:1", **body, "title": f"tritonpm {kind}"}


def _package() -> dict[str, Any]:
    return Manifest.model_json_schema(by_alias=True)


def _declaration() -> dict[str, Any]:
    body = msgspec.json.schema(Declaration)
    chosen = {
        "type": "object",
        "properties": {field.name: {} for field in fields(Settings)},
        "additionalProperties": False,
    }
    declared = body["$defs"]["DeclaredPackage"]
    declared["anyOf"] = [{"required": ["source"]}, {"required": ["digest"]}]
    package = declared["properties"]
    package["settings"] |= chosen
    package["stages"]["additionalProperties"] = chosen
    return body


def _policy() -> dict[str, Any]:
    body = msgspec.json.schema(PolicyDocument)
    for document in (TrustedFiles, AttestationDocument):  # nobody trusted is no policy
        files = ("keys", "certificates")
        body["$defs"][document.__name__]["anyOf"] = [
            {"required": [name], "properties": {name: {"minItems": 1}}} for name in files
        ]
    return body


def _envelope() -> dict[str, Any]:
    return {
        "description": "What reading commands print with -o json; docs/json.md describes the data of each kind.",
        "type": "object",
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"type": "string"}, "data": {}},
        "required": ["apiVersion", "kind", "data"],
        "additionalProperties": False,
    }


KINDS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "package": _package,
    "declaration": _declaration,
    "policy": _policy,
    "envelope": _envelope,
}
