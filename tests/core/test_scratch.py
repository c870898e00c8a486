"""What is under way lies in folders that go: at the end, or with the next run where their owner was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.archives import MODEL
from tests.support.waiting import PATIENCE, until
from tritonpm.core import scratch
from tritonpm.operations.init import init

IMPORT = [sys.executable, "-m", "tritonpm.cli.main", "import"]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of this test's own, for us and for the processes that we start."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def test_what_a_killed_import_left_goes_with_the_next(elsewhere: Path, tmp_path: Path) -> None:
    init(tmp_path / "w")
    model, workspace = tmp_path / "m.onnx", str(tmp_path / "w")
    model.write_bytes(MODEL)
    killed = subprocess.Popen([*IMPORT, str(model), "-w", workspace], start_new_session=True, stderr=subprocess.DEVNULL)
    until(lambda: list(elsewhere.glob("tritonpm-read-*")))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(PATIENCE)
    (left,) = elsewhere.glob("tritonpm-read-*")
    assert left.name.split("-")[2] == str(killed.pid)
    again = subprocess.run([*IMPORT, str(model), "-w", workspace], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert list(elsewhere.glob("tritonpm-*")) == []
    staging = tmp_path / "w/.tritonpm/staging"
    assert list(staging.iterdir()) == []


def test_what_others_have_stays(elsewhere: Path, tmp_path: Path) -> None:
    (elsewhere / "tritonpm-notes").mkdir()
    (elsewhere / "tritonpm-mine-x-y").mkdir()
    (elsewhere / "other-1-x").mkdir()
    (elsewhere / "tritonpm-file-1-x").write_text("a file")
    (tmp_path / "outside").mkdir()
    (elsewhere / "tritonpm-link-1-x").symlink_to(tmp_path / "outside")
    before = {path.name for path in elsewhere.iterdir()}
    (elsewhere / "tritonpm-read-1-abandoned").mkdir()
    with scratch.temporary("read") as mine:
        (mine / "file").write_text("under way")
        with scratch.temporary("read") as other:
            assert {path.name for path in elsewhere.iterdir()} == before | {mine.name, other.name}
    assert {path.name for path in elsewhere.iterdir()} == before
    assert (tmp_path / "outside").is_dir()


def test_what_cannot_be_written_is_a_sentence(elsewhere: Path) -> None:
    from tritonpm.core.errors import StorageError

    elsewhere.rmdir()
    elsewhere.write_text("no folder")
    with pytest.raises(StorageError), scratch.scratch(elsewhere / "in", "x"):
        pass
