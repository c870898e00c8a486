"""Fleets of real servers on one repository: changed wave by wave under load, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fleets import PACE, Site, answer_of, loaded, once, running, under_load
from tests.support.models import WIDTH, scaled
from tests.support.packages import cascade, single
from tests.support.workspaces import publish
from tritonpm.core.errors import BusyError, NotFoundError, ServerError
from tritonpm.fleet import journal
from tritonpm.fleet.waves import Pace
from tritonpm.operations.fleet import roll_out
from tritonpm.operations.fleet.unload import unload
from tritonpm.operations.import_package import import_package
from tritonpm.operations.remove import remove
from tritonpm.operations.show import show
from tritonpm.operations.upgrade import exchange
from tritonpm.triton.client import Client

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("a fleet"), "eew") as made:
        yield made


@dataclass
class Served:
    """The package that all servers serve, what it answers, and what shall come after it."""

    old: float
    new: float
    source: Path


@pytest.fixture
def served(site: Site, tmp_path: Path) -> Served:
    """The same package for all tests, whatever the last one left of it; what comes next is new each time."""
    context, number = site.context, len(list(tmp_path.parent.iterdir())) + 1.0
    if not context.catalogue.packages():
        import_package(context, single(tmp_path / "first", scaled(1.0), name="p"))
        roll_out.load(context, "prod", "p", pace=Pace(wave="100%"))
    [old] = set(site.answers("p"))
    assert old is not None
    return Served(old, number, single(tmp_path / "next", scaled(number), name="p"))


def test_a_fleet_moves_under_load_and_no_request_fails(site: Site, served: Served) -> None:
    with under_load(site, "p") as seen:
        rolled = roll_out.upgrade(site.context, "prod", "p", served.source, Pace(wave="50%", soak=0.2))
        assert site.answers("p") == [served.new] * 3
    assert (rolled.revision, len(rolled.servers), rolled.left_out) == (2, 3, ())
    assert seen.failures == [[], [], []]
    assert all(set(answers) == {served.old, served.new} and answers[-1] == served.new for answers in seen.answers)
    assert folders(site) == {"p"}
    assert site.synchronise() == [(server.http, "", "") for server in site.servers]
    with pytest.raises(BusyError, match="in use by the servers of prod"):
        remove(site.context, "p")
    proved = site.context.catalogue.proved("p")
    assert proved is not None
    assert (proved.number, proved.probed) == (2, True)


def test_a_fleet_goes_back_along_what_served(site: Site, served: Served, tmp_path: Path) -> None:
    catalogue = site.context.catalogue
    [first, *_] = catalogue.served("p")
    roll_out.upgrade(site.context, "prod", "p", served.source, PACE)
    back = roll_out.rollback(site.context, "prod", "p", pace=PACE)
    assert (back.revision, site.answers("p")) == (first, [served.old] * 3)
    newer = single(tmp_path / "newer", scaled(served.new + 0.5), name="p")
    roll_out.upgrade(site.context, "prod", "p", newer, PACE)
    assert site.answers("p") == [served.new + 0.5] * 3
    again = roll_out.rollback(site.context, "prod", "p", pace=PACE)  # not to the number below, which did not prove well
    assert (again.revision, site.answers("p")) == (first, [served.old] * 3)
    assert catalogue.served("p")[0] == first


def test_what_was_published_and_never_proved_comes_to_no_server_of_a_fleet(site: Site, served: Served) -> None:
    exchange(site.context, "p", served.source)
    publish(site.context, "p")  # as a load does that is killed before anybody has loaded it
    with Client(site.servers[2].http) as client:
        client.unload_and_wait("p")
    assert site.status().servers[2].behind == ("p",)
    site.synchronise()
    assert site.answers("p") == [served.old] * 3


def test_what_does_not_prove_itself_is_seen_by_nobody(site: Site, served: Served, tmp_path: Path) -> None:
    context = site.context
    import_package(context, cascade(tmp_path / "one", scaled(2.0, result="m"), scaled(3.0, source="m"), name="b"))
    roll_out.load(context, "prod", "b", ["zone=w"], PACE)
    before, models = show(context, "b"), loaded(site.servers[2])
    assert len(models) == 4  # p, the ensemble and its two members
    with under_load(site, "b") as seen, pytest.raises(ServerError, match=r"NaN.*every server serves what it served"):
        worse = cascade(tmp_path / "two", scaled(2.0, result="m"), logarithm("m"), name="b")
        roll_out.upgrade(context, "prod", "b", worse, PACE)
    assert (set(seen.answers[2]), seen.failures[2]) == ({6.0}, [])
    after = show(context, "b")
    assert context.catalogue.served("b") == [1]
    assert (after.digest, after.revision, after.pending) == (before.digest, 1, False)
    assert folders(site, "b") == {"b"}
    assert loaded(site.servers[2]) == models
    unload(context, "prod", "b")
    assert loaded(site.servers[2]) == {"p"}
    with pytest.raises(NotFoundError, match="no server of prod serves b"):
        roll_out.change(context, "prod", "b", {"max_batch_size": 2})


def test_what_was_loaded_without_a_probe_rolls_out_without_one(site: Site, served: Served, tmp_path: Path) -> None:
    context = site.context
    import_package(context, single(tmp_path / "quiet", scaled(2.0), name="quiet"))
    first = roll_out.load(context, "prod", "quiet", pace=PACE)
    context.catalogue.prove("quiet", first.revision, probed=False, loaded=False)
    rolled = roll_out.upgrade(context, "prod", "quiet", single(tmp_path / "nan", logarithm("x"), name="quiet"), PACE)
    proved = context.catalogue.proved("quiet")
    assert proved is not None
    assert (rolled.probe, proved.number, proved.probed) == ("not probed", 2, False)
    unload(context, "prod", "quiet")


@pytest.mark.long
def test_one_that_may_be_lost_follows(site: Site, served: Served) -> None:
    site.when = once("Moving p, wave 2", lambda: os.kill(site.servers[1].pid, signal.SIGKILL))
    rolled = roll_out.upgrade(site.context, "prod", "p", served.source, Pace(wave="1", max_unavailable=1))
    assert rolled.left_out == (site.servers[1].http,)
    site.start(1)
    assert site.status().servers[1].behind == ("p",)
    site.synchronise()
    assert site.answers("p") == [served.new] * 3


@pytest.mark.long
def test_one_that_hangs_after_it_moved_is_told_and_comes_back(site: Site, served: Served) -> None:
    pid = site.servers[0].pid
    site.when = once("Moving p, wave 2", lambda: os.kill(pid, signal.SIGSTOP))
    try:
        with pytest.raises(ServerError, match=rf"{site.servers[0].http} does not answer.*fleet sync --context prod"):
            roll_out.upgrade(site.context, "prod", "p", served.source, PACE)
        assert [answer_of(server, "p") for server in site.servers[1:]] == [served.old] * 2
        assert site.status().servers[0].state == "not live"
    finally:
        os.kill(pid, signal.SIGCONT)
    site.synchronise()
    assert site.answers("p") == [served.old] * 3


UPGRADE = """
import os, signal, sys
from pathlib import Path
from tritonpm.fleet.waves import Pace
from tritonpm.operations.context import open_context
from tritonpm.operations.fleet.roll_out import upgrade
root, name, source, moment = sys.argv[1:]
def hear(sentence):
    if sentence.startswith(moment):
        os.kill(os.getpid(), signal.SIGKILL)
with open_context(Path(root), warn=hear) as context:
    upgrade(context, "prod", name, Path(source), Pace(wave="1"))
"""


@pytest.mark.long
@pytest.mark.parametrize("moment", ["Moving", "Proving"])
def test_a_killed_manager_is_finished_or_undone(site: Site, served: Served, moment: str) -> None:
    with under_load(site, "p") as seen:
        arguments = [sys.executable, "-c", UPGRADE, site.root, "p", served.source, f"{moment} p, wave 2"]
        assert subprocess.run(arguments, timeout=60, check=False).returncode == -signal.SIGKILL
        with pytest.raises(BusyError, match="has not ended"):
            roll_out.change(site.context, "prod", "p", {"max_batch_size": 2})
        assert site.status().unfinished.startswith("p")
        site.synchronise()
    assert seen.failures == [[], [], []]
    assert site.answers("p") == [served.old if moment == "Proving" else served.new] * 3
    assert journal.opened(site.context.workspace.state) is None
    assert site.synchronise() == [(server.http, "", "") for server in site.servers]
    assert folders(site) == {"p"}
    assert [loaded(server) for server in site.servers] == [{"p"}] * 3


def logarithm(source: str) -> bytes:
    """A second stage that answers a NaN."""
    from onnx import TensorProto, helper

    def value(name: str) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])

    nodes = [helper.make_node("Neg", [source], ["n"]), helper.make_node("Log", ["n"], ["y"])]
    graph = helper.make_graph(nodes, "g", [value(source)], [value("y")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def folders(site: Site, name: str = "p") -> set[str]:
    """The folders of a package's public name and of its rehearsals."""
    there = {path.name for path in (site.root / "model_repository").iterdir()}
    return {folder for folder in there if folder == name or folder.startswith(f"{name}.")}
