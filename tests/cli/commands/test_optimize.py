"""optimize, jobs, profile, convert and what follows, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import run, streams
from tests.support.models import scaled
from tests.support.packages import single


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("a workspace")
    run("init", root)
    run("import", single(root / "in", scaled(2.0)), workspace=root)
    return root


def said_of(workspace: Path, *arguments: object, code: int = 0) -> str:
    """What a command says, on both streams."""
    return "".join(streams(*arguments, workspace=workspace, code=code))


def test_from_optimize_to_profile(workspace: Path) -> None:
    said = said_of(workspace, "optimize", "p", "--precision", "fp16", "--no-compare")
    assert "Optimised p." in said
    assert "verified" in said
    assert "Nothing to do for p." in said_of(workspace, "optimize", "p")
    told = json.loads(said_of(workspace, "jobs", "-o", "json"))["data"]
    assert [(job["package"], job["state"]) for job in told] == [("p", "done")]
    assert "verified" in said_of(workspace, "show", "p")
    layers = json.loads(said_of(workspace, "profile", "p", "-o", "json"))["data"]
    assert layers
    assert all(layer["micros"] is not None for layer in layers)


def test_detached_followed_cancelled(workspace: Path) -> None:
    said = said_of(workspace, "optimize", "p", "--again", "--detach", "--no-compare")
    number = said.split("Job ")[1].split(" ")[0]
    assert f"Job {number} on p is done." in said_of(workspace, "jobs", "follow", number)
    assert "is done, not running" in said_of(workspace, "jobs", "cancel", number, code=1 + 1)
    assert "there is no job 99" in said_of(workspace, "jobs", "follow", "99", code=5)
    assert "give the number" in said_of(workspace, "jobs", "follow", code=2)


def test_convert_says_what_it_made_and_how_it_answers(workspace: Path) -> None:
    source = workspace / "m.onnx"
    source.write_bytes(scaled(2.0))
    said = said_of(workspace, "convert", str(source), "--to", "openvino", "-o", str(workspace / "made"))
    assert "Wrote" in said
    assert "answers      verified" in said
    again = said_of(workspace, "convert", str(source), "--to", "openvino", "-o", str(workspace / "made"), code=3)
    assert "not an empty folder" in again
    assert "is onnx at FP32 as it is" in said_of(
        workspace, "convert", str(source), "--to", "onnx", "-o", str(workspace / "x"), code=2
    )


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("--to onnx", "is keras, and onnx at FP32 is made of onnx only"),
        ("--to onnx --precision fp16", "is keras, and onnx at FP16 is made of onnx only"),
        ("--to tensorrt", "is keras, and tensorrt at FP32 is made of onnx only"),
        ("--to openvino --precision int8", "is keras, and openvino at INT8 is made of openvino or onnx only"),
    ],
)
def test_what_is_only_converted_to_openvino_is_told_so(workspace: Path, target: str, reason: str) -> None:
    source = workspace / "x.keras"
    source.write_bytes(b"PK\3\4")
    said = said_of(workspace, "convert", str(source), *target.split(), "-o", str(workspace / "other"), code=2)
    assert reason in said
    assert f"`tritonpm convert '{source}' --to openvino -o OUT`" in said


def test_mistakes_are_sentences(workspace: Path) -> None:
    refused = said_of(workspace, "optimize", "p", "--device", "gpu", "--precision", "int8", code=3)
    assert "use --device gpu-optimised" in refused
    assert "no measure called luck" in said_of(workspace, "optimize", "p", "--tolerance", "luck=1", code=3)
    assert "calibrat" in said_of(workspace, "optimize", "p", "--calibration", str(workspace / "none"), code=5)
    assert "leave --no-compare out" in said_of(workspace, "optimize", "p", "--no-compare", "--concurrency", "4", code=2)
    assert "measured by" in said_of(workspace, "import", "x.onnx", "--instances", "auto", code=2)
