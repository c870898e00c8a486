"""Every command that reads prints a table, JSON and YAML: one answer in the same envelope, and nothing beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.command import every_command
from tests.support.environments import ROOT
from tests.support.models import scaled
from tritonpm.cli.app import cli

_BEFORE = ("init .", "import PACKAGE", "export bolts", "declare > tritonpm.yaml",
           "context add prod --url http://127.0.0.1:1")  # fmt: skip

# What needs no server, and the kind of the answer.
_TYPED = (
    ("list", "PackageList"), ("show bolts", "PackageDetails"), ("client bolts", "ClientCode"), ("inspect PACKAGE", "Inspection"), ("plan", "Plan"),
    ("set bolts --priority 1", "Package"), ("status", "Status"), ("projects", "ProjectList"), ("jobs", "JobList"),
    ("profile bolts", "Profile"), ("perf list", "PerfList"), ("render bolts --output rendered", "Rendering"),
    ("lint rendered", "LintReport"), ("publish bolts --repository out", "Published"), ("push bolts c.zip", "Pushed"),
    ("sign bolts.zip --key key.pem", "Signed"), ("policy", "Policy"), ("token list", "Tokens"), ("audit", "Audit"), ("context list", "Contexts"), ("targets", "Targets"), ("config", "Config"),
    ("fleet status --context prod", "Fleet"), ("top --once --interval 0.2", "Snapshot"), ("doctor", "Doctor"),
    ("verify", "Damages"), ("optimize bolts --no-compare", "PackageDetails"), ("import nuts.onnx", "Package"),
    ("adopt repository", "Adoption"), ("upgrade bolts MODEL", "LoadResult"), ("pull bolts.zip --name screws", "Package"),
)  # fmt: skip

# What answers only where a server runs, or was there: other tests read their answers.
_ON_A_SERVER = {
    "run",
    "load", "reload", "infer", "why", "history", "rollback", "canary", "promote", "tune", "serve", "tracing", "logging",
    "perf run", "perf compare", "perf gate", "perf report",
    "fleet load", "fleet place", "fleet set", "fleet upgrade", "fleet rollback",
}  # fmt: skip


def reads(path: tuple[str, ...]) -> bool:
    """Whether a command has --format."""
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name) or command
    return any("--format" in param.opts for param in command.params)


def parsed(form: str, text: str) -> Any:
    """An answer in json or yaml."""
    return json.loads(text) if form == "json" else yaml.safe_load(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands run, with a key, another model and a repository."""
    work = tmp_path / "work"
    work.mkdir()
    private, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(serialization.Encoding.PEM, private, none)
    (work / "key.pem").write_bytes(key)
    (work / "nuts.onnx").write_bytes(scaled(3.0))
    (work / "repository/nails/1").mkdir(parents=True)
    (work / "repository/nails/config.pbtxt").write_text('backend: "onnxruntime"\n')
    (work / "repository/nails/1/model.onnx").write_bytes(scaled(5.0))
    return work


def test_every_command_that_reads_is_known() -> None:
    known = {" ".join(path) for path in every_command() if reads(path)}
    tried = {name for name in known if any(f"{typed} ".startswith(f"{name} ") for typed, _ in _TYPED)}
    assert known == tried | _ON_A_SERVER


@pytest.mark.parametrize("form", ["json", *(pytest.param(form, marks=pytest.mark.long) for form in ("table", "yaml"))])
def test_every_reading_command_has_every_form(form: str, package: Path, folder: Path) -> None:
    places = {"PACKAGE": str(package), "MODEL": str(package / "model.onnx")}
    commands = [*_BEFORE, *(f"{typed} -o {form}" for typed, _ in _TYPED)]
    argued = json.dumps([[places.get(word, word) for word in command.split()] for command in commands])
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/run_commands.py"), argued],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answers = json.loads(ended.stdout)
    assert [code for code, _, _ in answers[: len(_BEFORE)]] == [0] * len(_BEFORE), answers
    for (typed, kind), (code, out, err) in zip(_TYPED, answers[len(_BEFORE) :], strict=True):
        assert code == 0, (typed, out, err)
        assert "Traceback" not in err
        assert (out + err if form == "table" else out).strip(), typed
        assert "\x1b" not in out, typed
        if form != "table":
            answer = parsed(form, out)
            assert (answer["apiVersion"], answer["kind"]) == ("tritonpm/v1", kind), typed
