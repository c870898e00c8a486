"""What the state machine has found, each told as plainly as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_optimising import cascade, scaled, single
from tritonpm.errors import StorageError
from tritonpm.manager import Manager, init
from tritonpm.serving import Serving


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    init(tmp_path / "a workspace")
    opened = Manager.open(tmp_path / "a workspace")
    opened.import_package(single(tmp_path / "in", scaled(2.0)))
    opened.import_package(cascade(tmp_path / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    opened.publish("p")
    return opened


@pytest.fixture
def serving(manager: Manager) -> Iterator[Serving]:
    found = Serving(manager)
    found.serve(None, detach=True, timeout=60, standard_ports=False)
    yield found
    found.stop(15)


def test_what_is_published_again_is_whole(manager: Manager) -> None:
    config = manager.workspace.repository / "p/config.pbtxt"
    before = config.read_text()
    config.write_text(before.replace("max_batch_size: 8", "max_batch_size: 3"))
    manager.publish("p")
    assert config.read_text() == before


def test_a_model_without_its_config_is_still_ours(manager: Manager) -> None:
    root = manager.workspace.repository
    for act in (lambda: manager.publish("p"), manager.mend):
        (root / "p/config.pbtxt").unlink()
        act()
        assert manager.verify() == []
    (root / "p/config.pbtxt").unlink()
    manager.rename("p", "q")
    assert list(root.iterdir()) == []
    manager.publish("q")
    (root / "q/config.pbtxt").unlink()
    manager.remove("q")
    assert list(root.iterdir()) == []


def test_somebody_elses_model_without_a_config_is_not(manager: Manager) -> None:
    theirs = manager.workspace.repository / "c/1/model.onnx"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(scaled(11.0))
    with pytest.raises(StorageError, match="did not make"):
        manager.publish("c")
    assert theirs.read_bytes() == scaled(11.0)
