"""The schemas agree with what is read: what a person may write passes, and what is refused does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.support.archives import MANIFEST
from tests.support.command import run
from tritonpm.operations.init import init
from tritonpm.operations.schema import KINDS, schema

DOCS = Path(__file__).parents[2] / "docs"
DECLARED: dict[str, Any] = {
    "bolts": {
        "source": "bolts.zip", "settings": {"mode": "performance"}, "stages": {"detect": {"max_batch_size": 1}},
        "projects": ["LINE-3"], "loaded": True,
    }
}  # fmt: skip
POLICY: dict[str, Any] = {"require-signature": {"keys": ["line.pub"], "certificates": []}}


def wrong(kind: str, document: object) -> bool:
    return any(Draft202012Validator(schema(kind)).iter_errors(document))


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_schema_is_current_and_sound(kind: str) -> None:
    published = json.loads((DOCS / f"{kind}.schema.json").read_text(encoding="utf-8"))
    assert published == json.loads(run("schema", kind))
    Draft202012Validator.check_schema(published)


def test_a_manifest() -> None:
    document = yaml.safe_load(MANIFEST)
    document["stages"][0]["task"] = document["stages"][0]["task"].lower()
    assert not wrong("package", document)
    assert wrong("package", {**document, "colour": "red"})


def test_a_declaration() -> None:
    assert not wrong("declaration", {"packages": DECLARED})
    assert wrong("declaration", {"packages": {"bolts": {"settings": {}}}})
    for place in ("settings", "stages"):
        misspelt = {"settings": {"mod": "shared"}, "stages": {"detect": {"mod": "shared"}}}[place]
        assert wrong("declaration", {"packages": {"bolts": {**DECLARED["bolts"], place: misspelt}}})


def test_a_policy() -> None:
    assert not wrong("policy", POLICY)
    assert wrong("policy", {"require_signature": POLICY["require-signature"]})
    assert not wrong("policy", {"require-attestation": {"certificates": ["ca.crt"], "agreement": 0.99}})
    for nobody in ({}, {"keys": []}, {"keys": [], "certificates": []}):
        assert wrong("policy", {"require-signature": nobody})
        assert wrong("policy", {"require-attestation": nobody})


def test_what_is_printed(tmp_path: Path) -> None:
    init(tmp_path)
    printed = json.loads(run("list", "-o", "json", workspace=tmp_path))
    assert not wrong("envelope", printed)
    assert wrong("envelope", printed["data"])
