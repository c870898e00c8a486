"""Live switching on a real server, under real load: nobody notices, and what fails was never seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.load import serving_answer, under_load
from tests.support.models import WIDTH, logarithm, scaled
from tests.support.packages import cascade, single
from tritonpm.core.errors import NotFoundError, RuleError, ServerError
from tritonpm.core.tensors import save_npz
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving
from tritonpm.operations.switch import Switching

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("a workspace")
    init(root)
    found = Serving(Manager.open(root))
    found.serve(None, detach=True, timeout=60, standard_ports=False)
    yield found
    found.stop(15)


def folders(serving: Serving) -> set[str]:
    return {path.name for path in serving.manager.workspace.repository.iterdir()}


def test_settings_change_under_load_and_nothing_fails(serving: Serving, tmp_path: Path) -> None:
    serving.manager.import_package(single(tmp_path / "in", scaled(2.0), name="a"))
    serving.load("a")
    switching = Switching(serving)
    with under_load(serving, "a") as seen:
        for changes in (
            {"mode": "performance", "instances": 2},
            {"max_batch_size": 4},
            {"optimizer": "openvino", "precision": "FP16"},
            {"mode": "shared", "instances": None, "optimizer": "none", "precision": "FP32"},
        ):
            loaded = switching.set("a", changes)
            assert loaded is not None
    assert seen.failures == []
    assert len(seen.answers) > 100
    assert set(seen.answers) == {2.0}
    assert loaded.revision == 5
    assert folders(serving) & {"a", "a.next"} == {"a"}


def test_an_upgrade_moves_every_client_and_a_roll_back_moves_them_back(serving: Serving, tmp_path: Path) -> None:
    manager, switching = serving.manager, Switching(serving)
    manager.import_package(single(tmp_path / "one", scaled(3.0), name="b"))
    serving.load("b")
    with under_load(serving, "b") as seen:
        switching.upgrade("b", single(tmp_path / "two", scaled(5.0), name="whatever"))
        assert float(serving_answer(serving, "b")) == 5.0
        switching.roll_back("b")
        assert float(serving_answer(serving, "b")) == 3.0
        switching.roll_back("b", 2)
        time.sleep(0.3)  # an answer from before it may still be on its way
    assert seen.failures == []
    assert set(seen.answers) == {3.0, 5.0}
    assert seen.answers[-1] == 5.0
    history = manager.catalogue.history("b")
    assert [(each.number, each.current) for each in history] == [(2, True), (1, False)]
    with pytest.raises(NotFoundError, match="has no revision 9"):
        switching.roll_back("b", 9)


def test_what_does_not_prove_itself_is_never_seen(serving: Serving, tmp_path: Path) -> None:
    manager, switching = serving.manager, Switching(serving)
    manager.import_package(single(tmp_path / "one", scaled(7.0), name="c"))
    serving.load("c")
    before = manager.show("c")
    bad = single(tmp_path / "two", scaled(9.0), name="c")
    save_npz(bad / "o.npz", {"y": np.zeros((2, WIDTH), np.float32)})
    text = (bad / "package.yaml").read_text().replace("{inputs: i.npz}", "{inputs: i.npz, outputs: o.npz}")
    (bad / "package.yaml").write_text(text)
    with under_load(serving, "c") as seen:
        with pytest.raises(
            ServerError, match="does not prove itself, so the old one serves on: its answer to the sample"
        ):
            switching.upgrade("c", bad)
        with pytest.raises(RuleError):
            switching.set("c", {"max_batch_size": 1000})
    assert seen.failures == []
    assert set(seen.answers) == {7.0}
    after = manager.show("c")
    assert (after.digest, after.status, after.revision, after.pending) == (before.digest, "loaded", 1, False)
    assert folders(serving) & {"c", "c.next"} == {"c"}


def test_nan_is_never_seen(serving: Serving, tmp_path: Path) -> None:
    serving.manager.import_package(single(tmp_path / "one", scaled(8.0), name="d"))
    serving.load("d")
    with under_load(serving, "d") as seen, pytest.raises(ServerError, match="NaN"):
        Switching(serving).upgrade("d", single(tmp_path / "two", logarithm(), name="d"))
    assert seen.failures == []
    assert set(seen.answers) == {8.0}


def test_a_cascade_moves_in_one_step(serving: Serving, tmp_path: Path) -> None:
    manager, switching = serving.manager, Switching(serving)
    manager.import_package(cascade(tmp_path / "one", scaled(2.0, result="m"), scaled(3.0, source="m"), name="e"))
    serving.load("e")
    with under_load(serving, "e") as seen:
        switching.upgrade("e", cascade(tmp_path / "two", scaled(5.0, result="m"), scaled(7.0, source="m"), name="e"))
        switching.set("e", {"max_batch_size": 2})
        switching.roll_back("e", 1)
    assert seen.failures == []
    assert set(seen.answers) == {6.0, 35.0}  # never 2 × 7 or 5 × 3
    current = manager.catalogue.revision("e")
    assert current is not None
    of_e = manager.catalogue.models_ever("e")
    assert folders(serving) & of_e == {model.name for model in current.models}
    with serving.client() as client:
        ready = {state.name for state in client.index() if state.state == "READY"}
    assert ready & of_e == {model.name for model in current.models}
