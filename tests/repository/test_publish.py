"""Publishing: whole or not at all, whoever looks and whatever dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.revisions import revision
from tritonpm.core.errors import StorageError
from tritonpm.repository.publish import publish, withdraw

LOOP = """
import sys
from pathlib import Path
from tests.support.revisions import revision
from tritonpm.repository.publish import publish, withdraw
root, staging, number = Path(sys.argv[1]), Path(sys.argv[2]), 0
print("going", flush=True)
while True:
    number += 1
    folder = staging / str(number)
    folder.mkdir()
    publish(revision(number), root, folder, lambda digest: Path(sys.argv[3]))
"""


def whole(folder: Path) -> bool:
    """Whether every file is there and says the same."""
    numbers = {(folder / f"1/part{i}").read_text() for i in range(5)}
    return len(numbers) == 1 and (folder / "config.pbtxt").read_text().endswith(numbers.pop())


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    for name in ("root", "staging"):
        (tmp_path / name).mkdir()
    (tmp_path / "blob").write_text("weights")
    return tmp_path / "root", tmp_path / "staging", tmp_path / "blob"


def test_publish_and_withdraw(places: tuple[Path, Path, Path]) -> None:
    root, staging, blob = places
    publish(revision(1), root, staging, lambda digest: blob)
    assert sorted(path.name for path in root.iterdir()) == ["p", "p.a", "p.b"]
    assert (root / "p/1/model").stat().st_ino == blob.stat().st_ino  # a hard link
    withdraw(["p.a", "p", "p.b"], root, staging, lambda digest: blob)
    assert list(root.iterdir()) == []
    assert list(staging.iterdir()) == []


def test_what_is_foreign_is_never_touched(places: tuple[Path, Path, Path]) -> None:
    root, staging, blob = places
    (root / "p").mkdir()
    (root / "p/config.pbtxt").write_text("somebody's")
    with pytest.raises(StorageError, match="did not make"):
        publish(revision(1), root, staging, lambda digest: blob)
    with pytest.raises(StorageError, match="did not make"):
        withdraw(["p"], root, staging, lambda digest: blob)
    assert [path.name for path in root.iterdir()] == ["p"]


def test_a_missing_blob_leaves_what_was_there(places: tuple[Path, Path, Path]) -> None:
    root, staging, blob = places
    publish(revision(1), root, staging, lambda digest: blob)
    (staging / "again").mkdir()
    with pytest.raises(StorageError):
        publish(revision(2), root, staging / "again", lambda digest: blob.with_name("nothing"))
    assert all(whole(folder) for folder in root.iterdir())
    assert (root / "p/1/part0").read_text() == "1"


def test_who_polls_never_sees_half_a_model(places: tuple[Path, Path, Path], tmp_path: Path) -> None:
    root, staging, blob = places
    seen, done = [], threading.Event()
    publish(revision(0), root, staging, lambda digest: blob)

    def poll() -> None:
        import os

        while not done.is_set():
            for name in ("p.a", "p.b", "p"):
                opened = os.open(root / name, os.O_RDONLY)  # one look at one folder, whatever is renamed meanwhile
                try:
                    seen.append(whole(Path(f"/proc/self/fd/{opened}")))
                except FileNotFoundError:
                    seen.append((root / name).exists())  # the folder that we hold was replaced and cleared
                finally:
                    os.close(opened)

    watcher = threading.Thread(target=poll)
    watcher.start()
    for number in range(1, 60):
        (staging / str(number)).mkdir()
        publish(revision(number), root, staging / str(number), lambda digest: blob)
    done.set()
    watcher.join()
    assert len(seen) > 50
    assert all(seen)


def test_kill_9_leaves_whole_models_only(places: tuple[Path, Path, Path]) -> None:
    root, staging, blob = places
    for round_ in range(12):
        aside = staging / f"round{round_}"
        aside.mkdir()
        command = [sys.executable, "-c", LOOP, str(root), str(aside), str(blob)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * round_)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert all(whole(folder) for folder in root.iterdir())
    last = staging / "last"
    last.mkdir()
    publish(revision(999), root, last, lambda digest: blob)
    assert all(whole(folder) and (folder / "1/part0").read_text() == "999" for folder in root.iterdir())
