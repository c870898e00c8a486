"""Two managers at once, in processes of their own, on the same packages of one server: serialised, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.load import under_load
from tests.support.managing import agreed, consistent
from tests.support.models import logarithm, scaled
from tests.support.packages import single
from tritonpm.core.errors import ServerError
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving
from tritonpm.operations.switch import Switching

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("TRITONPM_KILLS", "2"))
FACTORS = {"steady": 2.0, "both": 3.0, "own-1": 5.0, "own-2": 7.0}
WORK = """
import random, sys
from pathlib import Path
from tritonpm.core.errors import NotFoundError, TritonpmError
from tritonpm.core.errors import ServerError
from tritonpm.operations.manager import Manager
from tritonpm.operations.serving import Serving
from tritonpm.operations.switch import Switching
from tritonpm.operations.switch import Switching
serving, folder, own = Serving(Manager.open(Path(sys.argv[1]))), Path(sys.argv[2]), sys.argv[4]
switching, manager, dice = Switching(serving), serving.manager, random.Random(own)
def upgrade(p):
    switching.upgrade(p, folder / f"{p}-{dice.choice('12')}")
def set_(p):
    size = dice.randrange(2, 9)
    switching.set(p, {"max_batch_size": size})
    assert p != mine or manager.show(p).max_batch_size == size
def load(p):
    serving.load(p)
    assert p != mine or serving.is_loaded(p)
def unload(p):
    serving.unload(p, force=True)
    assert p != mine or not serving.is_loaded(p)
def remove(p):
    manager.remove(p)
    assert p != mine or p not in {e.name for e in manager.packages()}
def roll_back(p):
    switching.roll_back(p)
mine = f"own-{own}"
for _ in range(int(sys.argv[3])):
    package = dice.choice(["steady", "both", "both", mine])
    step = dice.choice([set_, upgrade, roll_back, load] + [unload, remove, load] * (package != "steady"))
    try:
        try:
            step(package)
        except NotFoundError as error:
            if "no package" not in str(error):
                raise
            manager.import_package(folder / package)
            load(package)
    except TritonpmError as error:
        print(step.__name__, package, "ERROR", error, flush=True)
    else:
        print(step.__name__, package, "done", flush=True)
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server; folders of packages, each in three contents."""
    init(tmp_path / "a workspace")
    for name, factor in FACTORS.items():
        for suffix, times in (("", 1), ("-1", 1), ("-2", 11)):
            single(tmp_path / f"{name}{suffix}", scaled(factor * times), name=name)
    found = Serving(Manager.open(tmp_path / "a workspace"))
    found.serve(None, detach=True, timeout=60, standard_ports=False)
    found.manager.import_package(tmp_path / "steady")
    found.load("steady")
    yield found
    found.stop(15)


def as_recorded(serving: Serving) -> None:
    """What is served is what is recorded, of the settings that are recorded."""
    assert agreed(serving) == []
    assert not serving.manager.show("steady").pending
    consistent(serving.manager)


@pytest.mark.long
def test_two_managers_at_once_lose_nothing(serving: Serving, tmp_path: Path) -> None:
    with under_load(serving, "steady", clients=1) as seen:
        command = [sys.executable, "-c", WORK, str(serving.manager.workspace.root), str(tmp_path), str(ROUNDS)]
        workers = [subprocess.Popen([*command, own], stdout=subprocess.PIPE, text=True) for own in "12"]
        said = "".join(worker.communicate(timeout=600)[0] for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert seen.failures == []
    assert set(seen.answers) <= {2.0, 22.0}
    as_recorded(serving)
    print(f"{said.count('done')} changes by two managers at once, {said.count('ERROR')} refused, nothing lost")


def interrupted(switching: Switching, monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """While `switching` changes something live, another manager does `other`, at the moment when it holds no lock."""
    optimising = switching.manager.optimising
    ensure = optimising.ensure

    def ensured(name: str) -> None:
        monkeypatch.undo()
        other()
        ensure(name)

    monkeypatch.setattr(optimising, "ensure", ensured)


def test_what_another_unloads_during_a_live_change_stays_unloaded(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, switching = Serving(Manager.open(serving.manager.workspace.root)), Switching(serving)
    interrupted(switching, monkeypatch, lambda: other.unload("steady", force=True))
    assert switching.set("steady", {"max_batch_size": 3}) is None
    assert not other.is_loaded("steady")
    assert serving.manager.show("steady").max_batch_size == 3
    assert agreed(serving) == []


def test_what_another_sets_during_a_live_change_that_fails_stays_set(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, switching = Manager.open(serving.manager.workspace.root), Switching(serving)
    interrupted(switching, monkeypatch, lambda: other.change("steady", {"max_batch_size": 5}, live=True))
    with pytest.raises(ServerError, match="NaN"):
        switching.upgrade("steady", single(tmp_path / "nan", logarithm(), name="steady"))
    assert other.show("steady").max_batch_size == 5
    assert agreed(serving) == []
