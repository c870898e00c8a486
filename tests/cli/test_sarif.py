"""`lint -o sarif`, the pre-commit hook and the GitHub Action: what others read of lint."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator

from tests.support.environments import ROOT
from tests.support.models import scaled
from tests.support.repositories import BASE, ENSEMBLE, MODEL, ensemble, model
from tritonpm.cli.app import cli

ACTION = files("check_jsonschema") / "builtin_schemas/vendor/github-actions.json"
_INPUT = re.compile(r"\$\{\{ inputs\.([\w-]+) \}\}")


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


def stepped(tmp_path: Path, **given: str) -> list[int]:
    """The steps of the action that run with these inputs beside the defaults, as a runner runs them; their exit codes."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    inputs = {name: each["default"] for name, each in action["inputs"].items()} | given
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRITON")}
    codes = []
    for step in action["runs"]["steps"]:
        condition = re.fullmatch(r"inputs\.(\w+) != ''", step.get("if", ""))
        if condition and inputs[condition[1]]:
            values = {name: inputs[_INPUT.fullmatch(value)[1]] for name, value in step["env"].items()}  # type: ignore[index]
            environment = {**kept, **values, "PATH": path, "TMPDIR": str(tmp_path)}
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            codes.append(subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode)
    return codes


@pytest.mark.long
def test_the_action_lints_and_plans(tmp_path: Path) -> None:
    model(tmp_path / "model_repository")
    (tmp_path / "p.onnx").write_bytes(MODEL)
    (tmp_path / "good.yaml").write_text("packages: {p: {source: p.onnx}}")
    (tmp_path / "bad.yaml").write_text("packages: {p: {source: p.onnx, settings: {max_batch_size: -4}}}")
    assert stepped(tmp_path) == [0]
    assert json.loads((tmp_path / "tritonpm-lint.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"
    assert stepped(tmp_path, declaration="good.yaml") == [0, 0]
    assert stepped(tmp_path, folder="", declaration="bad.yaml") == [3]


@pytest.mark.server
@pytest.mark.long
def test_the_action_measures(tmp_path: Path) -> None:
    for number in (2.0, 3.0):
        (tmp_path / f"{number:.0f}.onnx").write_bytes(scaled(number))
    assert stepped(tmp_path, folder="", baseline="2.onnx", package="3.onnx", **{"max-regression": "90%"}) == [0]
    assert stepped(tmp_path, folder="", baseline="2.onnx", package="2.onnx") == [0]  # nothing to measure


def test_the_hook_is_one() -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["language"] == "python"
    assert cli.get_command(None, hook["entry"].split()[1])  # type: ignore[arg-type]
