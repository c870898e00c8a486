"""kill -9 at any point of any change: the next one finds exactly the old state or the new one, and finishes the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.consistency import consistent
from tests.support.packages import package
from tests.support.workspaces import opened
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init

KILLS = int(os.environ.get("TRITONPM_KILLS", "6"))
LOOP = """
import sys
from pathlib import Path
from tests.support.workspaces import opened, publish
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.prune import prune
from tritonpm.operations.import_package import import_package
from tritonpm.operations.local_repository import changing
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.rollback import rollback
from tritonpm.operations.set import change
from tritonpm.operations.upgrade import upgrade
from tritonpm.operations.verify import mend
context, source, number = opened(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
other = Path(sys.argv[4])
def published():
    with changing(context, "publish"):
        publish(context, "p")
        context.catalogue.prove("p", context.catalogue.get("p").revision, probed=True, loaded=False)
print("going", flush=True)
while True:
    number += 1
    for step in (
        lambda: import_package(context, source),
        lambda: change(context, "p", {"priority": number % 7}),
        published,
        lambda: rename(context, "p", "q"),
        lambda: rename(context, "q", "p"),
        lambda: change(context, "p", {"max_batch_size": number % 9 + 1}),
        published,
        lambda: upgrade(context, "p", other),
        published,
        lambda: rollback(context, "p"),
        published,
        lambda: prune(context, "p", 2),
        lambda: mend(context),
        lambda: number % 3 or remove(context, "p"),
    ):
        try:
            step()
        except TritonpmError:
            pass
"""


def test_kills_lose_nothing(tmp_path: Path) -> None:
    """Import, set, publish, rename, upgrade, roll back, prune, mend and remove, each killed wherever it may be."""
    init(tmp_path / "workspace")
    source, other = package(tmp_path / "package"), package(tmp_path / "other")
    (other / "notes.txt").write_text("another content")
    import_package(opened(tmp_path / "workspace"), source)
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
        consistent(opened(tmp_path / "workspace"))
    print(f"{KILLS} kills in changes of the catalogue, nothing lost")
