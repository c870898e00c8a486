"""Who uses what: leases that run out, clients that are seen, and what is refused meanwhile."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tritonpm.client
from tests.support.load import under_load
from tests.support.models import WIDTH, scaled
from tests.support.packages import single
from tests.support.waiting import until
from tests.support.workspaces import QUICKLY, opened
from tritonpm.catalogue import leases
from tritonpm.core.errors import BusyError, NotFoundError, UsageError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.load import load
from tritonpm.operations.projects import projects
from tritonpm.operations.prune import prune
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.serve import serve
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.operations.use import release, use

X = np.arange(8, dtype=np.float32).reshape(2, WIDTH)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "workspace")
    context = opened(tmp_path / "workspace")
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    return context


def test_a_used_package_is_neither_changed_nor_removed_nor_pruned(context: Context) -> None:
    use(context, "p", "LINE-3", 60)
    use(context, "p", "LINE-4", 60)
    assert packages(context.catalogue)[0].used_by == ("LINE-3", "LINE-4")
    assert show(context, "p").used_by == ("LINE-3", "LINE-4")
    for refused in (
        lambda: change(context, "p", {"mode": "performance"}),
        lambda: remove(context, "p"),
        lambda: rename(context, "p", "q"),
        lambda: prune(context, "p", 1),
    ):
        with pytest.raises(BusyError, match="in use by LINE-3, LINE-4"):
            refused()
    release(context, "p", "LINE-3")
    release(context, "p", "LINE-4")
    change(context, "p", {"mode": "performance"})
    remove(context, "p")
    assert projects(context) == []


def test_a_lease_runs_out_and_no_clock_that_can_be_set_counts(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(context, "p", "LINE-3", 60)
    start = leases.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert len(projects(context)) == 1
    monkeypatch.setattr(leases, "now", lambda: start + 61)
    assert projects(context) == []
    use(context, "p", "LINE-3", 60)
    monkeypatch.setattr(leases, "boot", lambda: "another start of the machine")
    assert projects(context) == []


@pytest.mark.parametrize(("project", "ttl"), [("", 60), (" ", 60), ("a\nb", 60), ("x" * 201, 60), ("p", 0), ("p", 1e9)])
def test_leases_that_make_no_sense(context: Context, project: str, ttl: float) -> None:
    with pytest.raises(UsageError):
        use(context, "p", project, ttl)


def test_a_package_that_is_not_there_cannot_be_used(context: Context) -> None:
    with pytest.raises(NotFoundError, match="no package 'x'"):
        use(context, "x", "LINE-3", 60)


@pytest.fixture(scope="module")
def leased(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A workspace with a package, for many examples."""
    root = tmp_path_factory.mktemp("leases")
    init(root)
    context = opened(root)
    import_package(context, single(root / "in", scaled(2.0)))
    return context


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "1"]), st.booleans()), max_size=20))
def test_users_are_those_who_took_and_did_not_release(leased: Context, steps: list[tuple[str, str, bool]]) -> None:
    context = leased
    for project, holder in itertools.product("abc", ["", "1"]):  # what the last example left
        release(context, "p", project, holder)
    held: set[tuple[str, str]] = set()
    for project, holder, take in steps:
        if take:
            use(context, "p", project, 60, holder)
            held.add((project, holder))
        else:
            assert release(context, "p", project, holder) is ((project, holder) in held)
            held.discard((project, holder))
        assert {each.project for each in projects(context)} == {project for project, _ in held}


@pytest.fixture
def server(context: Context) -> Iterator[None]:
    serve(context, None, **QUICKLY)
    load(context, "p")
    yield
    stop(context, 15)


CLIENT = """
import sys, time
import numpy as np
import tritonpm.client
with tritonpm.client.use("p", project="LINE-3", workspace=sys.argv[1], ttl=5, shared_memory=True) as model:
    for number in range(1000):
        answer = model.infer({"x": np.full((1, 4), number, np.float32)})
        assert answer["y"][0, 0] == 2 * number or answer["y"][0, 0] == 3 * number, answer
        print(number, flush=True)
        time.sleep(0.02)
"""


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_two_real_clients_use_a_package_and_a_live_switch_goes_unnoticed(context: Context, tmp_path: Path) -> None:
    root = str(context.workspace.root)
    other = subprocess.Popen([sys.executable, "-c", CLIENT, root], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "0\n"
        with tritonpm.client.use("p", project="LINE-4", workspace=root) as model:
            assert np.array_equal(model.infer({"x": X})["y"], 2 * X)
            assert packages(context.catalogue)[0].used_by == ("LINE-3", "LINE-4")
            with pytest.raises(BusyError, match=r"in use by LINE-3, LINE-4.*--force"):
                unload(context, "p")
            upgrade(context, "p", single(tmp_path / "new", scaled(3.0)))
            assert np.array_equal(model.infer({"x": X})["y"], 3 * X)
        ends = leases.now() + projects(context)[0].left
        until(lambda: leases.now() > ends)  # it renews it
        assert packages(context.catalogue)[0].used_by == ("LINE-3",)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    until(lambda: projects(context) == [])  # the dead client's lease has run out
    unload(context, "p")


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_clients_that_said_nothing_are_seen_by_what_they_send(context: Context) -> None:
    with under_load(context, "p", clients=1):
        with pytest.raises(BusyError, match="clients that are not registered"):
            unload(context, "p")
        with pytest.raises(BusyError, match="change it with `tritonpm set p … --live`"):
            change(context, "p", {"mode": "performance"})
    unload(context, "p", force=True)
