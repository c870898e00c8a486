"""Live switching on a real server, under real load: nobody notices, and what fails was never seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.load import serving_answer, under_load
from tests.support.models import WIDTH, failing_for_zeros, logarithm, scaled
from tests.support.packages import cascade, single
from tests.support.workspaces import opened, running, served
from tritonpm.core.errors import NotFoundError, RuleError, ServerError
from tritonpm.core.tensors import save_npz
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.remove import remove
from tritonpm.operations.rollback import rollback
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.set import change_live
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.triton import compiled

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    root = tmp_path_factory.mktemp("a workspace")
    init(root)
    context = opened(root)
    serve(context, None, detach=True, timeout=60, standard_ports=False)
    yield context
    stop(context, 15)


def folders(context: Context) -> set[str]:
    return {path.name for path in context.workspace.repository.iterdir()}


@pytest.mark.parametrize("backends", compiled.KINDS)
def test_a_warm_up_that_fails_is_noticed_by_nobody_else(
    tmp_path: Path, backends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python-based backends refuse such a model, compiled ones warn of it: it answers what is not all zeros."""
    monkeypatch.setenv(compiled.VARIABLE, backends)
    with served(tmp_path / "workspace") as context:
        import_package(context, single(tmp_path / "in", scaled(11.0), name="warm"))
        import_package(context, single(tmp_path / "zeros", failing_for_zeros(), name="zeros"))
        load(context, "warm")
        pid = running(context).pid
        with under_load(context, "warm") as seen:
            for _ in range(3):  # each ended the server in about one of three
                if backends == "python":
                    with pytest.raises(ServerError, match=r"zeros could not be loaded: .*out of data bounds"):
                        load(context, "zeros")
                else:
                    load(context, "zeros")
                    unload(context, "zeros")
            if backends == "python":
                remove(context, "zeros")
                with pytest.raises(ServerError, match=r"the old one keeps serving: .*out of data bounds"):
                    upgrade(context, "warm", single(tmp_path / "worse", failing_for_zeros(), name="worse"))
        assert (running(context).pid, seen.failures, set(seen.answers)) == (pid, [], {11.0})


def test_settings_change_under_load_and_nothing_fails(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0), name="a"))
    load(context, "a")
    with under_load(context, "a") as seen:
        for changes in (
            {"mode": "performance", "instances": 2},
            {"max_batch_size": 4},
            {"optimizer": "openvino", "precision": "FP16"},
            {"mode": "shared", "instances": None, "optimizer": "none", "precision": "FP32"},
        ):
            loaded = change_live(context, "a", changes)
            assert loaded is not None
    assert seen.failures == []
    assert len(seen.answers) > 100
    assert set(seen.answers) == {2.0}
    assert loaded.revision == 5
    assert folders(context) & {"a", "a.next"} == {"a"}


def test_an_upgrade_moves_every_client_and_a_roll_back_moves_them_back(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "one", scaled(3.0), name="b"))
    load(context, "b")
    with under_load(context, "b") as seen:
        upgrade(context, "b", single(tmp_path / "two", scaled(5.0), name="whatever"))
        assert float(serving_answer(context, "b")) == 5.0
        rollback(context, "b")
        assert float(serving_answer(context, "b")) == 3.0
        rollback(context, "b", 2)
        seen.everybody_again()
    assert seen.failures == []
    assert set(seen.answers) == {3.0, 5.0}
    assert seen.answers[-1] == 5.0
    history = context.catalogue.history("b")
    assert [(each.number, each.current) for each in history] == [(2, True), (1, False)]
    with pytest.raises(NotFoundError, match="has no revision 9"):
        rollback(context, "b", 9)


def test_what_does_not_prove_itself_is_never_seen(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "one", scaled(7.0), name="c"))
    load(context, "c")
    before = show(context, "c")
    bad = single(tmp_path / "two", scaled(9.0), name="c")
    save_npz(bad / "o.npz", {"y": np.zeros((2, WIDTH), np.float32)})
    text = (bad / "package.yaml").read_text().replace("{inputs: i.npz}", "{inputs: i.npz, outputs: o.npz}")
    (bad / "package.yaml").write_text(text)
    with under_load(context, "c") as seen:
        with pytest.raises(
            ServerError, match="does not prove itself, so the old one keeps serving: its answer to the sample"
        ):
            upgrade(context, "c", bad)
        with pytest.raises(RuleError):
            change_live(context, "c", {"max_batch_size": 100_000})
    assert seen.failures == []
    assert set(seen.answers) == {7.0}
    after = show(context, "c")
    assert (after.digest, after.status, after.revision, after.pending) == (before.digest, "loaded", 1, False)
    assert folders(context) & {"c", "c.next"} == {"c"}


def test_nan_is_never_seen(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "one", scaled(8.0), name="d"))
    load(context, "d")
    with under_load(context, "d") as seen, pytest.raises(ServerError, match="NaN"):
        upgrade(context, "d", single(tmp_path / "two", logarithm(), name="d"))
    assert seen.failures == []
    assert set(seen.answers) == {8.0}


def test_a_cascade_moves_in_one_step(context: Context, tmp_path: Path) -> None:
    import_package(context, cascade(tmp_path / "one", scaled(2.0, result="m"), scaled(3.0, source="m"), name="e"))
    load(context, "e")
    with under_load(context, "e") as seen:
        upgrade(context, "e", cascade(tmp_path / "two", scaled(5.0, result="m"), scaled(7.0, source="m"), name="e"))
        change_live(context, "e", {"max_batch_size": 2})
        rollback(context, "e", 1)
    assert seen.failures == []
    assert set(seen.answers) == {6.0, 35.0}  # never 2 × 7 or 5 × 3
    current = context.catalogue.revision("e")
    assert current is not None
    of_e = context.catalogue.models_ever("e")
    assert folders(context) & of_e == {model.name for model in current.models}
    with connect(context) as client:
        ready = {state.name for state in client.index() if state.state == "READY"}
    assert ready & of_e == {model.name for model in current.models}
