"""kill -9 in the middle of live changes on a real server: clients notice nothing, and the next one goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.consistency import consistent
from tests.support.load import under_load
from tests.support.models import scaled
from tests.support.packages import cascade
from tests.support.workspaces import opened
from tritonpm.operations.drift import drift
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.stop import stop
from tritonpm.operations.sync import sync

KILLS = int(os.environ.get("TRITONPM_KILLS", "5"))
CHANGE = """
import sys
from pathlib import Path
from tests.support.workspaces import opened
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.load import load
from tritonpm.operations.rollback import rollback
from tritonpm.operations.set import change_live
from tritonpm.operations.upgrade import upgrade
context, packages, number = opened(Path(sys.argv[1])), sys.argv[2:4], int(sys.argv[4])
print("going", flush=True)
while True:
    number += 1
    for step in (
        lambda: upgrade(context, "c", Path(packages[number % 2])),
        lambda: change_live(context, "c", {"max_batch_size": number % 5 + 2}),
        lambda: load(context, "c"),
        lambda: rollback(context, "c"),
    ):
        try:
            step()
        except TritonpmError as error:
            print(error, flush=True)
"""


@pytest.mark.long
@pytest.mark.server
@pytest.mark.timeout(900)
def test_clients_do_not_notice_that_a_switch_was_killed(tmp_path: Path) -> None:
    root = tmp_path / "a workspace"
    init(root)
    packages = [
        cascade(tmp_path / "one", scaled(2.0, result="m"), scaled(3.0, source="m")),
        cascade(tmp_path / "two", scaled(5.0, result="m"), scaled(7.0, source="m")),
    ]
    context = opened(root)
    serve(context, None, detach=True, timeout=60, standard_ports=False)
    dice = random.Random(3)
    try:
        import_package(context, packages[0])
        load(context, "c")
        with under_load(context, "c", clients=2) as seen:
            for kill in range(KILLS):
                command = [sys.executable, "-c", CHANGE, str(root), *map(str, packages), str(kill)]
                process = subprocess.Popen(command, stdout=subprocess.PIPE)
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(dice.random() * 6)
                process.send_signal(signal.SIGKILL)
                process.wait()
                process.stdout.close()
                assert all(not reason for *_, reason in sync(context))
                load(context, "c")
                with connect(context) as client:
                    assert drift(context, client) == []
                    ready = {state.name for state in client.index() if state.state == "READY"}
                current = context.catalogue.revision("c")
                assert current is not None
                assert ready == {model.name for model in current.models}
        assert seen.failures == []
        assert set(seen.answers) <= {6.0, 35.0}
        consistent(context)
    finally:
        stop(context, 20)
    print(f"{KILLS} kills in live switches, {len(seen.answers)} requests, nothing lost")
