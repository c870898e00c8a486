"""Two tritonpm at once, in processes of their own, on the same packages of one server: serialised, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.consistency import apart, consistent
from tests.support.load import under_load
from tests.support.models import logarithm, scaled
from tests.support.packages import single
from tests.support.workspaces import QUICKLY, opened
from tritonpm.core.errors import ServerError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.optimize.jobs import ensure
from tritonpm.operations.serve import serve
from tritonpm.operations.server import is_loaded
from tritonpm.operations.set import change_live, choose
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("TRITONPM_KILLS", "2"))
FACTORS = {"steady": 2.0, "both": 3.0, "own-1": 5.0, "own-2": 7.0}
WORK = """
import random, sys
from pathlib import Path
from tests.support.workspaces import opened
from tritonpm.core.errors import NotFoundError, TritonpmError
from tritonpm.operations.import_package import import_package
from tritonpm.operations.list import packages
from tritonpm.operations.load import load
from tritonpm.operations.remove import remove
from tritonpm.operations.rollback import rollback
from tritonpm.operations.server import is_loaded
from tritonpm.operations.set import change_live
from tritonpm.operations.show import show
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
context, folder, own = opened(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[4]
dice = random.Random(own)
def upgraded(p):
    upgrade(context, p, folder / f"{p}-{dice.choice('12')}")
def changed(p):
    size = dice.randrange(2, 9)
    change_live(context, p, {"max_batch_size": size})
    assert p != mine or show(context, p).max_batch_size == size
def loaded(p):
    load(context, p)
    assert p != mine or is_loaded(context, p)
def unloaded(p):
    unload(context, p, force=True)
    assert p != mine or not is_loaded(context, p)
def removed(p):
    remove(context, p)
    assert p != mine or p not in {entry.name for entry in packages(context.catalogue)}
def rolled_back(p):
    rollback(context, p)
mine = f"own-{own}"
for _ in range(int(sys.argv[3])):
    package = dice.choice(["steady", "both", "both", mine])
    step = dice.choice([changed, upgraded, rolled_back, loaded] + [unloaded, removed, loaded] * (package != "steady"))
    try:
        try:
            step(package)
        except NotFoundError as error:
            if "no package" not in str(error):
                raise
            import_package(context, folder / package)
            loaded(package)
    except TritonpmError as error:
        print(step.__name__, package, "ERROR", error, flush=True)
    else:
        print(step.__name__, package, "done", flush=True)
"""


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    """A server; folders of packages, each in three contents."""
    init(tmp_path / "a workspace")
    for name, factor in FACTORS.items():
        for suffix, times in (("", 1), ("-1", 1), ("-2", 11)):
            single(tmp_path / f"{name}{suffix}", scaled(factor * times), name=name)
    context = opened(tmp_path / "a workspace")
    serve(context, None, **QUICKLY)
    import_package(context, tmp_path / "steady")
    load(context, "steady")
    yield context
    stop(context, 15)


def as_recorded(context: Context) -> None:
    """What is served is what was proved, and of what never was unloaded that is what is wanted."""
    assert apart(context) == []
    assert not show(context, "steady").pending
    consistent(context)


@pytest.mark.long
def test_two_at_once_lose_nothing(context: Context, tmp_path: Path) -> None:
    with under_load(context, "steady", clients=1) as seen:
        command = [sys.executable, "-c", WORK, str(context.workspace.root), str(tmp_path), str(ROUNDS)]
        workers = [subprocess.Popen([*command, own], stdout=subprocess.PIPE, text=True) for own in "12"]
        said = "".join(worker.communicate(timeout=600)[0] for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert seen.failures == []
    assert set(seen.answers) <= {2.0, 22.0}
    as_recorded(context)
    print(f"{said.count('done')} changes by two at once, {said.count('ERROR')} refused, nothing lost")


def interrupted(context: Context, monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """While a live change is made live, another tritonpm does `other`, at the moment when it holds no lock."""

    def ensured(context: Context, name: str) -> None:
        monkeypatch.undo()
        other()
        ensure(context, name)

    monkeypatch.setattr("tritonpm.operations.switch.ensure", ensured)


def test_what_another_unloads_during_a_live_change_stays_unloaded(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = opened(context.workspace.root)
    interrupted(context, monkeypatch, lambda: unload(other, "steady", force=True))
    assert change_live(context, "steady", {"max_batch_size": 3}) is None
    assert not is_loaded(other, "steady")
    view = show(context, "steady")
    assert (view.max_batch_size, view.proved) == (3, 1)
    assert "was changed since revision 1" in view.drift
    assert apart(context) == []


def test_what_another_sets_during_a_live_change_that_fails_stays_set(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = opened(context.workspace.root)
    interrupted(context, monkeypatch, lambda: choose(other, "steady", {"max_batch_size": 5}))
    with pytest.raises(ServerError, match="NaN"):
        upgrade(context, "steady", single(tmp_path / "nan", logarithm(), name="steady"))
    view = show(other, "steady")
    assert (view.max_batch_size, view.proved) == (5, 1)
    assert "was changed since revision 1" in view.drift
    assert apart(context) == []
