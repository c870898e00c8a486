"""kill -9 at any point of any change: the next one finds exactly the old state or the new one, and finishes the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.test_manager import package
from tritonpm.operations.manager import Manager, init
from tritonpm.repository.config import REVISION

KILLS = int(os.environ.get("TRITONPM_KILLS", "25"))
LOOP = """
import sys
from pathlib import Path
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.manager import Manager
from tritonpm.operations.serving import Serving
from tritonpm.operations.switch import Switching
manager, source, number = Manager.open(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
switching, other = Switching(Serving(manager)), Path(sys.argv[4])
def publish():
    with manager.changing("publish"):
        manager.publish("p")
print("going", flush=True)
while True:
    number += 1
    for step in (
        lambda: manager.import_package(source),
        lambda: manager.change("p", {"priority": number % 7}),
        publish,
        lambda: manager.rename("p", "q"),
        lambda: manager.rename("q", "p"),
        lambda: manager.change("p", {"max_batch_size": number % 9 + 1}),
        publish,
        lambda: switching.upgrade("p", other),
        publish,
        lambda: switching.roll_back("p"),
        publish,
        lambda: manager.prune("p", 2),
        manager.mend,
        lambda: number % 3 or manager.remove("p"),
    ):
        try:
            step()
        except TritonpmError:
            pass
"""


def consistent(manager: Manager) -> None:
    """Catalogue, repository, blobs and staging say the same."""
    with manager.changing("look"):
        pass
    published = {model.name: model for revision in manager.catalogue.published() for model in revision.models}
    folders = {path.name: path for path in manager.workspace.repository.iterdir()}
    assert set(folders) == set(published)
    for name, model in published.items():
        assert {f.path for f in model.files} == {
            p.relative_to(folders[name]).as_posix() for p in folders[name].rglob("*") if p.is_file()
        }
        config = next(f.text for f in model.files if f.path == "config.pbtxt")
        assert (folders[name] / "config.pbtxt").read_text() == config
        assert REVISION in (config or "")
    for digest in manager.catalogue.referenced_blobs():
        manager.blobs.verify(digest)
    assert manager.catalogue.open_intents() == []
    assert list(manager.workspace.staging.iterdir()) == []
    assert {p.stem for p in manager.workspace.records.glob("*.json")} == {e.name for e in manager.packages()}


def test_kills_lose_nothing(tmp_path: Path) -> None:
    """Import, set, publish, rename, upgrade, roll back, prune, mend and remove, each killed wherever it may be."""
    init(tmp_path / "workspace")
    source, other = package(tmp_path / "package"), package(tmp_path / "other")
    (other / "notes.txt").write_text("another content")
    Manager.open(tmp_path / "workspace").import_package(source)
    dice = random.Random(7)
    for kill in range(KILLS):
        command = [sys.executable, "-c", LOOP, str(tmp_path / "workspace"), str(source), str(kill), str(other)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.random() * 0.4)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        consistent(Manager.open(tmp_path / "workspace"))
    print(f"{KILLS} kills in changes of the catalogue, nothing lost")
