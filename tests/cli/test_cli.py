"""Every command as a user types it, on the real server; what it prints and with which exit code it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.command import TRITONPM, run, run_apart, streams
from tests.support.repositories import BASE, model
from tritonpm.core.exit_codes import PIPE_CLOSED
from tritonpm.core.tensors import load_npz


def test_help_by_the_command_itself() -> None:
    assert "Usage: tritonpm import" in run("import", "-h")


def test_version_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['tritonpm', '--version']\nfrom tritonpm.cli.main import main\ntry: main()\nexcept SystemExit: print(sorted({'click','rich','numpy','onnx','pydantic'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[1] == "[]"


def test_listing_imports_nothing_heavy(workspace: Path) -> None:
    code = f"import sys; sys.argv = ['tritonpm', 'list', '-w', {str(workspace)!r}]\nfrom tritonpm.cli.main import main\ntry: main()\nexcept SystemExit: print(sorted({{'numpy','onnx','pydantic','tritonclient','grpc','openvino','msgspec','rich','rich_click','psutil','tritonpm.core.types'}} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"


@pytest.mark.parametrize("typed", ["--help", "list", "list -o json"])
def test_a_reader_who_goes_is_no_failure_of_the_command(typed: str, workspace: Path) -> None:
    command = [*TRITONPM, *typed.split(), "-w", str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == PIPE_CLOSED


@pytest.mark.parametrize("listed", ["list", "jobs", "projects", "perf list", "token list", "context list"])
def test_an_empty_list_says_what_fills_it(listed: str, workspace: Path) -> None:
    assert "`tritonpm " in streams(*listed.split(), workspace=workspace)[1]


@pytest.mark.long
@pytest.mark.server
def test_the_whole_way(package: Path, workspace: Path, tmp_path: Path) -> None:
    assert "Imported bolts" in run_apart("import", package, workspace=workspace)
    run("set", "bolts", "--mode", "performance", "--instances", 2, "--max-batch-size", 16, workspace=workspace)
    listed = json.loads(run_apart("list", "-o", "json", workspace=workspace))
    assert listed["apiVersion"] == "tritonpm/v1"
    row = listed["data"][0]
    keys = "name type stages mode device max_batch_size precision status used_by revision digest"
    assert set(keys.split()) <= set(row)
    assert (row["mode"], row["max_batch_size"], row["status"], row["revision"]) == ("performance", 16, "imported", None)
    assert "live" in run_apart("serve", "--detach", workspace=workspace)
    assert "answered 1 sample, 1 as expected" in run_apart("load", "bolts", workspace=workspace)
    for protocol in ("http", "grpc"):
        out = tmp_path / f"{protocol}.npz"
        said = run_apart(
            "infer",
            "bolts",
            "--input",
            package / "in.npz",
            "--output",
            out,
            "--protocol",
            protocol,
            workspace=workspace,
        )
        assert "2 x 4" in said
        assert np.array_equal(load_npz(out)["y"], load_npz(package / "out.npz")["y"])
    answer = json.loads(run("infer", "bolts", "-o", "json", workspace=workspace))["data"]["tensors"][0]
    assert (answer["name"], answer["labels"]) == ("y", "a, a")
    status = yaml.safe_load(run("status", "-o", "yaml", workspace=workspace))["data"]
    assert [(m["name"], m["state"], m["status"]) for m in status["models"]] == [("bolts", "READY", "loaded")]
    url = status["server"]
    assert "bolts" in run("status", "--server", url, workspace=workspace)
    assert "is loaded" in run("remove", "bolts", workspace=workspace, code=4)
    assert "is loaded" in run("rename", "bolts", "nuts", workspace=workspace, code=4)
    assert "already running" in run("serve", "--detach", workspace=workspace, code=4)
    run("unload", "bolts", workspace=workspace)
    run("rename", "bolts", "nuts", workspace=workspace)
    assert not (workspace / "model_repository/bolts").exists()
    run("load", "nuts", workspace=workspace)
    run_apart("stop", workspace=workspace)
    assert "Loaded nuts" in _serve_again(workspace)
    run("unload", "nuts", workspace=workspace)
    run_apart("stop", workspace=workspace)
    run("remove", "nuts", workspace=workspace)
    assert json.loads(run_apart("list", "-o", "json", workspace=workspace))["data"] == []
    assert list((workspace / "model_repository").iterdir()) == []
    assert list((workspace / ".tritonpm/blobs").rglob("*/??/*")) == []


def _serve_again(workspace: Path) -> str:
    """What a second `serve` says: it loads what was loaded before."""
    command = [*TRITONPM, "serve", "--detach", "-w", str(workspace)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_render_export_and_import_again(package: Path, workspace: Path, tmp_path: Path) -> None:
    run("import", package, workspace=workspace)
    run("render", "bolts", "--output", tmp_path / "out", workspace=workspace)
    first = {p.relative_to(tmp_path): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    run("render", "bolts", "--output", tmp_path / "out", workspace=workspace)
    assert first == {p.relative_to(tmp_path): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert "Triton would load it" in run("lint", tmp_path / "out")
    run("export", "bolts", "--output", tmp_path / "bolts.zip", workspace=workspace)
    assert "exists already" in run("export", "bolts", "--output", tmp_path / "bolts.zip", workspace=workspace, code=3)
    other = tmp_path / "other"
    run("init", other)
    run("import", tmp_path / "bolts.zip", workspace=other)
    digests = [
        json.loads(run("show", "bolts", "-o", "json", workspace=w))["data"]["digest"] for w in (workspace, other)
    ]
    assert digests[0] == digests[1]


def test_what_is_refused_is_one_sentence(package: Path, workspace: Path, tmp_path: Path) -> None:
    assert "no such file" in run("convert", tmp_path / "no.onnx", "--to", "openvino", "-o", tmp_path / "made", code=5)
    assert "is not a package name" in run("rename", "x", "y/z", workspace=workspace, code=3)
    assert "`tritonpm load bolts`" in run("run", "bolts", workspace=workspace, code=5)
    assert "by hand" in run("config", "set", "x", code=2)
    run("import", package, workspace=workspace)
    assert "the name 'bolts' is taken" in run("import", package, workspace=workspace, code=3)
    assert "the same content" in run("import", package, "--name", "again", workspace=workspace, code=3)
    assert "did you mean 'bolts'" in run("show", "bolt", workspace=workspace, code=5)
    assert "0 to 65536" in run("set", "bolts", "--max-batch-size", 65_537, workspace=workspace, code=3)
    assert "one instance" in run("set", "bolts", "--instances", 3, workspace=workspace, code=3)
    assert "nothing to change" in run("set", "bolts", workspace=workspace, code=2)
    assert "No such command" in run("frobnicate", code=2)
    assert "no such file" in run("import", tmp_path / "nothing.zip", workspace=workspace, code=5).lower()
    assert "tritonpm init" in run("list", "-w", tmp_path, code=5)
    assert "tritonpm serve" in run("load", "bolts", workspace=workspace, code=6)
    model(tmp_path / "bad", BASE + "wrong: 1")
    ended = subprocess.run([*TRITONPM, "lint", str(tmp_path / "bad")], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "config.pbtxt:7: error:" in ended.stdout


def test_debug_shows_the_traceback(workspace: Path) -> None:
    command = [*TRITONPM, "show", "nothing", "--debug", "-w", str(workspace)]
    assert "Traceback" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_TRITONPM_COMPLETE" in run("completion", shell)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tritonpm unl", "plain,unload"),
        ("tritonpm show bo", "plain,bolts"),
        ("tritonpm perf run bo", "plain,bolts"),
        ("tritonpm run mod", "file,mod"),
        ("tritonpm pull pack", "file,pack"),
    ],
)
def test_completion_knows_commands_packages_and_files(typed: str, offered: str, package: Path, workspace: Path) -> None:
    if "show" in typed or "perf" in typed:
        run("import", package, workspace=workspace)
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "TRITONPM_WORKSPACE": str(workspace)}
    said = subprocess.run(
        TRITONPM, capture_output=True, text=True, check=False,
        env={**os.environ, "_TRITONPM_COMPLETE": "bash_complete", **words},
    )  # fmt: skip
    assert (said.stdout.splitlines(), said.stderr) == ([offered], "")


def test_schema_is_json() -> None:
    assert json.loads(run("schema"))["properties"]["stages"]


def test_errors_are_told_in_the_language_that_is_asked_for(tmp_path: Path) -> None:
    run("init", workspace=tmp_path)
    for language, told in (
        ("zh_CN.UTF-8", "没有模型包 'x'"), ("vi", "không có gói 'x'"), ("fr_FR.UTF-8", "there is no package 'x'"),
    ):  # fmt: skip
        error = streams("show", "x", workspace=tmp_path, code=5, TRITONPM_LANG=language)[1]
        assert told in error
        assert "`tritonpm list`" in error
