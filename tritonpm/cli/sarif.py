"""Lint's findings as SARIF 2.1.0, which code hosts and editors show beside the lines that they are of.

Source: the OASIS standard "Static Analysis Results Interchange Format", version 2.1.0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tritonpm import __version__
from tritonpm.core.types import Finding

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(findings: Sequence[Finding], here: Path) -> str:
    """One run with a result for each finding; files below the folder `here` are told from there, as hosts want it."""
    rules = sorted({finding.rule for finding in findings})
    run = {
        "tool": {"driver": {"name": "tritonpm", "version": __version__, "rules": [{"id": rule} for rule in rules]}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, rules, here) for finding in findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(finding: Finding, rules: Sequence[str], here: Path) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(Path(finding.file), here)}}
    if finding.line:
        place["region"] = {"startLine": finding.line}
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": finding.level,
        "message": {"text": finding.sentence},
        "locations": [{"physicalLocation": place}],
    }
    return {**result, "properties": {"release": finding.release}} if finding.release else result


def _uri(file: Path, here: Path) -> str:
    absolute = file.absolute()
    if absolute.is_relative_to(here):
        return quote(absolute.relative_to(here).as_posix())
    return absolute.as_uri()
