"""Packages that come when they are used and go when room is needed, on a server with a process for each instance."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import tritonpm.client
from tests.support.load import ONES, serving_answer, under_load
from tests.support.models import WIDTH, scaled
from tests.support.packages import single
from tests.support.waiting import until
from tests.support.workspaces import running, served
from tritonpm.core.errors import CapacityError, ServerError
from tritonpm.core.units import MIB
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.on_demand import HOST, LIMIT, Idle
from tritonpm.operations.remove import remove
from tritonpm.operations.server import connect
from tritonpm.operations.set import change, change_live
from tritonpm.operations.show import show
from tritonpm.operations.unload import unload
from tritonpm.triton import compiled
from tritonpm.triton.processes import processes

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, python_backends: None) -> Iterator[Context]:
    with served(tmp_path_factory.mktemp("a workspace")) as context:
        yield context


def asked_last(context: Context, model: str) -> int:
    """When a model was asked last, in milliseconds."""
    with connect(context) as client:
        return client.statistics(model)[0].last_inference_ms


def ready(context: Context) -> set[str]:
    with connect(context) as client:
        return {state.name for state in client.index() if state.state == "READY"}


def test_on_demand_packages_come_when_used_and_go_when_idle(context: Context, tmp_path: Path) -> None:
    idle = Idle(context)
    import_package(
        context, single(tmp_path / "d", scaled(2.0), name="d"), changes={"residency": "on-demand", "idle_seconds": 1}
    )
    import_package(context, single(tmp_path / "p", scaled(7.0), name="pinned"))
    load(context, "pinned")
    with tritonpm.client.use("d", project="line", workspace=str(context.workspace.root)) as model:
        assert float(model.infer(ONES)["y"][0, 0]) == 2.0
        asked = time.monotonic()
        while time.monotonic() < asked + 2.0:  # twice what it may idle
            assert list(idle.look()) == []
            time.sleep(0.1)
        assert "d" in ready(context)  # no request for longer than that, but a user
    until(lambda: list(idle.look()) == ["d"], every=0.2)
    assert ready(context) == {"pinned"}
    assert show(context, "d").status == "ready"
    unload(context, "pinned")
    for name in ("d", "pinned"):
        remove(context, name)


def test_the_least_recently_used_makes_room(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("l1", "l2", "l3", "l4")):
        import_package(context, single(tmp_path / name, scaled(2.0 + number), name=name))
    for name in ("l1", "l2"):
        change(context, name, {"residency": "on-demand"})
    for name in ("l3", "l1", "l2", "l4"):  # what each takes becomes known
        load(context, name)
    unload(context, "l4")
    until(lambda: asked_last(context, "l2") == max(asked_last(context, name) for name in ("l1", "l2", "l3")))
    before = asked_last(context, "l1")
    serving_answer(context, "l1")
    until(lambda: asked_last(context, "l1") > before)  # Triton counts an answer a moment after it was given
    assert ready(context) == {"l1", "l2", "l3"}
    taken = sum(each.taken for each in processes(running(context)) if each.model)
    monkeypatch.setenv(LIMIT, str((taken >> 20) + 5))  # room for three of them
    load(context, "l4")
    assert ready(context) == {"l1", "l3", "l4"}  # l2 was used before l1
    load(context, "l2")
    assert ready(context) == {"l2", "l3", "l4"}
    change(context, "l2", {"residency": "pinned"})
    with pytest.raises(ServerError, match=r"[MG]iB are free"):
        load(context, "l1")
    assert ready(context) == {"l2", "l3", "l4"}  # pinned ones never go
    for name in ("l2", "l3", "l4"):
        unload(context, name)
    for name in ("l1", "l2", "l3", "l4"):
        remove(context, name)


def test_two_that_do_not_fit_are_refused_and_the_way_with_an_outage_is_told(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_package(context, single(tmp_path / "x", scaled(2.0), name="x"))
    load(context, "x")
    taken = sum(each.taken for each in processes(running(context)) if each.model)
    monkeypatch.setenv(LIMIT, str((taken >> 20) + 5))
    with under_load(context, "x") as seen:
        with pytest.raises(
            CapacityError, match=r"they do not both fit into memory: .*`tritonpm unload x`.* a short outage"
        ):
            change_live(context, "x", {"max_batch_size": 4})
        assert show(context, "x").max_batch_size == 8
    assert (seen.failures, set(seen.answers)) == ([], {2.0})
    unload(context, "x")
    change(context, "x", {"max_batch_size": 4})
    assert load(context, "x").revision == 2
    unload(context, "x")
    remove(context, "x")


def heavy(mebibytes: int, weight: float) -> bytes:
    """y = x · w, of so many MiB of equal weights."""
    weights = np.full((WIDTH, mebibytes * MIB // 4 // WIDTH), weight, np.float32)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", weights.shape[1]])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [numpy_helper.from_array(weights, "w")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.long
def test_what_runs_in_the_server_itself_takes_that_by_which_it_grew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "compiled")
    with served(tmp_path / "workspace") as context:
        for weight, name in enumerate(("here", "there"), 1):
            import_package(context, single(tmp_path / name, heavy(64, weight), name=name))
            load(context, name)
            took = context.catalogue.artefacts.memory(context.catalogue.proved(name).revision.digest, HOST)
            assert took >= 64 * MIB
        change(context, "here", {"residency": "on-demand"})
        unload(context, "there")
        monkeypatch.setenv(LIMIT, str(took // MIB + 32))
        load(context, "there")
        assert ready(context) == {"there"}
        with pytest.raises(ServerError, match=r"[MG]iB are free"):
            load(context, "here")
