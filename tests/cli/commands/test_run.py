"""`tritonpm run` as a newcomer types it: from a model file to an answer, and nothing left over."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import TRITONPM
from tests.support.models import scaled
from tests.support.waiting import PATIENCE
from tests.support.workspaces import opened
from tritonpm.core.exit_codes import PIPE_CLOSED
from tritonpm.operations.server import own_server
from tritonpm.operations.stop import stop


def typed(folder: Path, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command, typed in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRITON")}
    ended = subprocess.run(
        [*TRITONPM, *map(str, words)], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE,
        env=environment,
    )  # fmt: skip
    assert ended.returncode == code, ended.stderr + ended.stdout
    return ended


@contextmanager
def running(folder: Path, *words: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`tritonpm run` in the foreground, and what it has printed once it serves; interrupted at the end."""
    process = subprocess.Popen(
        [*TRITONPM, "run", *map(str, words)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert process.stderr
        printed = ""
        for line in process.stderr:
            if "Ctrl-C ends it" in line:
                break
            printed += line
        os.set_blocking(process.stdout.fileno(), False)
        yield process, printed + (process.stdout.read() or "")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a model that triples, and no workspace."""
    (tmp_path / "model.onnx").write_bytes(scaled(3.0))
    yield tmp_path
    if (tmp_path / ".tritonpm").exists():
        stop(opened(tmp_path), 15)


def pasted(printed: str, language: str) -> str:
    """The code of a language among what `run` prints."""
    head = r"(?: \(needs [^\n]*\))?:\n"
    return re.search(rf"(?s)\n{language}{head}\n(.*?)(?=\n\n(?:curl|python){head}|\Z)", printed)[1]  # type: ignore[index]


@pytest.mark.server
def test_from_a_model_to_an_answer(folder: Path) -> None:
    with running(folder, "model.onnx") as (_, printed):
        assert f"Created a workspace in {folder}" in printed
        curl, python = pasted(printed, "curl"), pasted(printed, "python")
        answer = json.loads(subprocess.run(["bash"], input=curl, capture_output=True, text=True, check=True).stdout)
        sent = json.loads(re.search(r"-d '(.*)'", curl)[1])["inputs"][0]["data"]  # type: ignore[index]
        assert answer["outputs"][0]["data"] == pytest.approx([3 * value for value in sent])
        said = subprocess.run([sys.executable], input=python, capture_output=True, text=True, check=True).stdout
        assert said.startswith("y [[")
        beside = typed(folder, "run", "model.onnx")  # while the first one serves
        assert "Using model" in beside.stdout
        assert "was running before and keeps running" in beside.stderr
        assert own_server(opened(folder)) is not None
    assert own_server(opened(folder)) is None
    detached = json.loads(typed(folder, "run", "model.onnx", "--detach", "-o", "json").stdout)
    assert (detached["kind"], detached["data"]["name"], detached["data"]["started"]) == ("Run", "model", True)
    (folder / "model.onnx").write_bytes(scaled(4.0))
    assert "`tritonpm upgrade model`" in typed(folder, "run", "model.onnx", code=3).stderr
    typed(folder, "stop")


@pytest.mark.server
def test_a_reader_who_goes_does_not_end_the_server(folder: Path) -> None:
    command = [*TRITONPM, "run", "model.onnx", "--detach"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        while not process.stdout.readline().startswith(b"Imported"):
            pass
        process.stdout.close()
    assert process.returncode == PIPE_CLOSED
    assert own_server(opened(folder)) is not None


def test_what_is_refused_leaves_nothing(folder: Path) -> None:
    (folder / "broken.onnx").write_bytes(b"no model")
    before = sorted(folder.iterdir())
    refused = typed(folder, "run", "broken.onnx", code=3)
    assert "broken.onnx" in refused.stderr
    assert "Created" not in refused.stdout + refused.stderr  # it is not there any more
    assert "no such file" in typed(folder, "run", "nothing.onnx", code=5).stderr
    assert "would lie in the package" in typed(folder, "run", ".", code=2).stderr
    typed(folder, "run", "broken.onnx", "-w", "line/3", code=3)
    assert sorted(folder.iterdir()) == before
