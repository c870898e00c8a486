"""`lint -o sarif`, the pre-commit hook and the GitHub Action: what others read of lint."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator

from tests.support.environments import ROOT
from tests.support.repositories import BASE, ENSEMBLE, ensemble, model
from tritonpm.cli.app import cli

ACTION = files("check_jsonschema") / "builtin_schemas/vendor/github-actions.json"


def linted(folder: Path, code: int) -> dict[str, object]:
    ended = CliRunner().invoke(cli, ["lint", str(folder), "-o", "sarif"])
    assert (ended.exit_code != 0) == bool(code), ended.output
    run = json.loads(ended.stdout)
    assert run["version"] == "2.1.0"
    assert run["$schema"].endswith("sarif-schema-2.1.0.json")
    [only] = run["runs"]
    return dict(only)


def test_each_finding_is_a_result_at_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path / "ein Ordner", BASE + "max_batchsize: 4")
    monkeypatch.chdir(tmp_path)
    run = linted(Path("ein Ordner"), 1)
    [result] = run["results"]  # type: ignore[misc]
    rules = run["tool"]["driver"]["rules"]  # type: ignore[index]
    assert rules[result["ruleIndex"]] == {"id": result["ruleId"]} == {"id": "config-parse"}
    assert result["level"] == "error"
    assert "max_batchsize" in result["message"]["text"]
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "ein%20Ordner/m/config.pbtxt"}, "region": {"startLine": 7}}


def test_a_file_elsewhere_is_a_whole_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble(tmp_path / "größe", ENSEMBLE.replace('"m2"', '"m3"'))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    results = linted(tmp_path / "größe", 1)["results"]
    uri = urlsplit(results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])  # type: ignore[index]
    assert (uri.scheme, unquote(uri.path)) == ("file", str(tmp_path / "größe/e/config.pbtxt"))


def test_nothing_found_is_an_empty_run(tmp_path: Path) -> None:
    model(tmp_path)
    assert linted(tmp_path, 0)["results"] == []


def test_the_action_is_one() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    Draft7Validator(json.loads(ACTION.read_text(encoding="utf-8"))).validate(action)


def test_the_hook_is_one() -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["language"] == "python"
    assert cli.get_command(None, hook["entry"].split()[1])  # type: ignore[arg-type]
