"""Members shared by cascades, canaries, kept versions, residency, reload and status, on a real server."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tritonpm.client
from tests.support.load import ONES, serving_answer, under_load
from tests.support.models import WIDTH, logarithm, scaled
from tests.support.packages import cascade, single
from tritonpm.core.errors import (
    BusyError,
    CapacityError,
    InferenceError,
    NotFoundError,
    RuleError,
    ServerError,
    UsageError,
)
from tritonpm.operations.canary import Canaries
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.on_demand import LIMIT, Idle
from tritonpm.operations.serving import Serving
from tritonpm.operations.switch import Switching
from tritonpm.operations.upkeep import why
from tritonpm.triton.processes import processes

pytestmark = pytest.mark.server
M1, M2, M3 = scaled(2.0, result="m"), scaled(3.0, source="m"), scaled(5.0, source="m")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("a workspace")
    init(root)
    found = Serving(Manager.open(root))
    found.serve(None, detach=True, timeout=60, standard_ports=False)
    yield found
    found.stop(15)


def ready(serving: Serving) -> set[str]:
    with serving.client() as client:
        return {state.name for state in client.index() if state.state == "READY"}


def members(serving: Serving, name: str) -> set[str]:
    revision = serving.manager.catalogue.revision(name)
    assert revision is not None
    return {model.name for model in revision.models[:-1]}


def test_cascades_share_a_member_which_goes_with_its_last_user(serving: Serving, tmp_path: Path) -> None:
    manager = serving.manager
    manager.import_package(cascade(tmp_path / "one", M1, M2, name="one"))
    manager.import_package(cascade(tmp_path / "two", M1, M3, name="two"))
    serving.load("one")
    with serving.client() as client, under_load(serving, "one") as seen:
        serving.load("two")
        (shared,) = members(serving, "one") & members(serving, "two")
        assert shared.startswith("first.")
        assert why(serving, shared)[:2] == ["it is a member of the cascade one", "it is a member of the cascade two"]
        assert next(m.package for m in serving.status().models if m.name == shared) == "one, two"
        assert float(client.infer("two", ONES)["y"][0, 0]) == 10.0
        serving.unload("two")
    assert seen.failures == []  # the shared member was neither reloaded nor taken away
    assert set(seen.answers) == {6.0}
    assert ready(serving) == {"one", *members(serving, "one")}
    serving.unload("one")
    assert ready(serving) == set()
    manager.remove("one")
    assert (manager.workspace.repository / shared).is_dir()  # two still has it
    manager.remove("two")
    assert list(manager.workspace.repository.iterdir()) == []


ABOVE = f"""name: "above"
platform: "ensemble"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: [ {WIDTH} ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ {WIDTH} ] }}
ensemble_scheduling {{ step {{ model_name: "base" model_version: -1
  input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }} }} }}
"""


def test_somebody_elses_ensemble_keeps_its_member(serving: Serving, tmp_path: Path) -> None:
    manager = serving.manager
    manager.import_package(single(tmp_path / "p", scaled(2.0), name="base"))
    serving.load("base")
    folder = manager.workspace.repository / "above"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(ABOVE)
    with serving.client() as client:
        client.load_and_wait("above")
        with pytest.raises(BusyError, match=r"base is a part of above, which the server has loaded; .*--dependents"):
            serving.unload("base")
        assert client.ready("above")
        serving.unload("base", dependents=True)
    assert ready(serving) == set()
    manager.remove("base")
    shutil.rmtree(folder)


def test_a_canary_is_promoted_under_load_or_given_up(serving: Serving, tmp_path: Path) -> None:
    manager, canaries = serving.manager, Canaries(Switching(serving))
    manager.import_package(single(tmp_path / "a", scaled(2.0), name="a"))
    serving.load("a")
    with pytest.raises(UsageError, match="differs in its content or in its settings"):
        canaries.start("a", None, {})
    with pytest.raises(NotFoundError, match="a has no canary"):
        canaries.promote("a")
    with under_load(serving, "a") as seen:
        with pytest.raises(ServerError, match="NaN"):
            canaries.start("a", single(tmp_path / "nan", logarithm(), name="x"), {})
        assert [entry.name for entry in manager.catalogue.packages()] == ["a"]  # nothing of it stays
        canaries.start("a", single(tmp_path / "b", scaled(3.0), name="x"), {"max_batch_size": 4})
        assert ready(serving) == {"a", "a-canary"}
        assert float(serving_answer(serving, "a-canary")) == 3.0
        with pytest.raises(BusyError, match="a-canary is its canary"):
            manager.rename("a", "b")
        root = str(manager.workspace.root)
        with tritonpm.client.use("a", project="line", workspace=root, canary=0.5) as model:
            answers = {float(model.infer(ONES)["y"][0, 0]) for _ in range(40)}
        assert answers == {2.0, 3.0}
        assert canaries.promote("a") is not None
    assert seen.failures == []
    assert set(seen.answers) == {2.0, 3.0}
    assert ready(serving) == {"a"}
    assert manager.show("a").max_batch_size == 4
    canaries.start("a", None, {"mode": "performance", "instances": 2})  # the same content, other settings
    canaries.abort("a")
    assert ready(serving) == {"a"}
    assert manager.show("a").mode == "shared"
    serving.unload("a")
    manager.remove("a")


def test_clients_that_pin_a_version_keep_it(serving: Serving, tmp_path: Path) -> None:
    manager, switching = serving.manager, Switching(serving)
    manager.import_package(single(tmp_path / "v1", scaled(2.0), name="v"), changes={"kept_versions": 2})
    serving.load("v")
    with serving.client("grpc") as client:

        def answer(version: str) -> float:
            return float(client.infer("v", ONES, version=version)["y"][0, 0])

        assert (answer(""), answer("1")) == (2.0, 2.0)
        switching.upgrade("v", single(tmp_path / "v2", scaled(3.0), name="x"))
        assert (answer(""), answer("1"), answer("2")) == (3.0, 2.0, 3.0)
        switching.set("v", {"max_batch_size": 2})
        assert (answer(""), answer("1"), answer("2")) == (3.0, 2.0, 3.0)
        switching.upgrade("v", single(tmp_path / "v3", scaled(4.0), name="x"))
        assert (answer(""), answer("2"), answer("3")) == (4.0, 3.0, 4.0)
        with pytest.raises((InferenceError, NotFoundError)):
            answer("1")
        switching.roll_back("v", 1)
        assert (answer(""), answer("1")) == (2.0, 2.0)
        with pytest.raises((InferenceError, NotFoundError)):
            answer("3")
        switching.upgrade("v", single(tmp_path / "v4", scaled(5.0), name="x"))
        assert (answer(""), answer("4"), answer("3")) == (5.0, 5.0, 4.0)  # a number is never given twice
    assert manager.verify() == []
    serving.unload("v")
    manager.remove("v")


def test_an_ensemble_has_no_versions(serving: Serving, tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="an ensemble has no versions"):
        serving.manager.import_package(cascade(tmp_path / "c", M1, M2, name="c"), changes={"kept_versions": 2})


def test_on_demand_packages_come_when_used_and_go_when_idle(serving: Serving, tmp_path: Path) -> None:
    manager, idle = serving.manager, Idle(serving)
    manager.import_package(
        single(tmp_path / "d", scaled(2.0), name="d"), changes={"residency": "on-demand", "idle_seconds": 1}
    )
    manager.import_package(single(tmp_path / "p", scaled(7.0), name="pinned"))
    serving.load("pinned")
    with tritonpm.client.use("d", project="line", workspace=str(manager.workspace.root)) as model:
        assert float(model.infer(ONES)["y"][0, 0]) == 2.0
        for _ in range(4):
            assert list(idle.look()) == []
            time.sleep(0.5)
        assert "d" in ready(serving)  # no request for longer than that, but a user
    deadline = time.monotonic() + 20
    while "d" in ready(serving) and time.monotonic() < deadline:
        list(idle.look())
        time.sleep(0.2)
    assert ready(serving) == {"pinned"}
    assert manager.show("d").status == "ready"
    serving.unload("pinned")
    for name in ("d", "pinned"):
        manager.remove(name)


def test_the_least_recently_used_makes_room(serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = serving.manager
    for number, name in enumerate(("l1", "l2", "l3", "l4")):
        manager.import_package(single(tmp_path / name, scaled(2.0 + number), name=name))
    for name in ("l1", "l2"):
        manager.change(name, {"residency": "on-demand"})
    for name in ("l3", "l1", "l2", "l4"):  # what each takes becomes known
        serving.load(name)
    serving.unload("l4")
    time.sleep(0.5)  # Triton counts an answer a moment after it was given
    serving_answer(serving, "l1")
    time.sleep(0.5)
    assert ready(serving) == {"l1", "l2", "l3"}
    assert serving.server is not None
    taken = sum(each.taken for each in processes(serving.server) if each.model)
    monkeypatch.setenv(LIMIT, str((taken >> 20) + 5))  # room for three of them
    serving.load("l4")
    assert ready(serving) == {"l1", "l3", "l4"}  # l2 was used before l1
    serving.load("l2")
    assert ready(serving) == {"l2", "l3", "l4"}
    manager.change("l2", {"residency": "pinned"})
    with pytest.raises(ServerError, match="MiB are free"):
        serving.load("l1")
    assert ready(serving) == {"l2", "l3", "l4"}  # pinned ones never go
    for name in ("l2", "l3", "l4"):
        serving.unload(name)
    for name in ("l1", "l2", "l3", "l4"):
        manager.remove(name)


def test_two_that_do_not_fit_are_refused_and_the_way_with_an_outage_is_told(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, switching = serving.manager, Switching(serving)
    manager.import_package(single(tmp_path / "x", scaled(2.0), name="x"))
    serving.load("x")
    assert serving.server is not None
    taken = sum(each.taken for each in processes(serving.server) if each.model)
    monkeypatch.setenv(LIMIT, str((taken >> 20) + 5))
    with under_load(serving, "x") as seen:
        with pytest.raises(CapacityError, match=r"both do not fit into memory: .*`tritonpm unload x`.* a short outage"):
            switching.set("x", {"max_batch_size": 4})
        assert manager.show("x").max_batch_size == 8
    assert (seen.failures, set(seen.answers)) == ([], {2.0})
    serving.unload("x")
    manager.change("x", {"max_batch_size": 4})
    assert serving.load("x").revision == 2
    serving.unload("x")
    manager.remove("x")


def test_reload_goes_unnoticed_and_status_tells(serving: Serving, tmp_path: Path) -> None:
    manager = serving.manager
    manager.import_package(
        single(tmp_path / "r", scaled(2.0), name="r"), changes={"mode": "performance", "instances": 2}
    )
    with pytest.raises(ServerError, match="r is not loaded"):
        serving.reload("r")
    serving.load("r", wait=5.0)
    with under_load(serving, "r") as seen:
        while len(seen.answers) < 10:
            time.sleep(0.01)
        serving.reload("r")
        time.sleep(0.5)
        (told,) = (model for model in serving.status().models if model.name == "r")
    assert seen.failures == []
    assert (told.instances, told.status) == (2, "loaded")
    assert told.inferences > 0
    assert told.queue_us is not None
    assert told.last_inference.startswith("2")
    serving.unload("r", force=True)
    manager.remove("r")
