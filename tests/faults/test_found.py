"""What the state machine has found, each told as plainly as it can be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.load import serving_answer
from tests.support.managing import optimised
from tests.support.models import logarithm, scaled
from tests.support.packages import cascade, single
from tritonpm.core.errors import ServerError, StorageError
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving
from tritonpm.operations.switch import NEXT, Switching, shadow_of
from tritonpm.operations.upkeep import drift, sync


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


def test_a_folder_in_the_way_is_told_before_anything_changes(manager: Manager) -> None:
    theirs = manager.workspace.repository / "c"
    theirs.mkdir()
    (theirs / "config.pbtxt").write_text('name: "c"')
    with pytest.raises(StorageError, match="did not make"):
        manager.publish("c")
    assert manager.catalogue.revision("c") is None
    assert manager.catalogue.open_intents() == []
    assert {path.name for path in manager.workspace.repository.iterdir()} == {"p", "c"}
    manager.change("p", {"max_batch_size": 2})  # nobody else is in the way


def test_somebody_elses_model_may_have_a_name_that_a_package_had_once(manager: Manager) -> None:
    theirs = manager.workspace.repository / "p"
    manager.rename("p", "q")
    manager.publish("q")
    theirs.mkdir()
    (theirs / "config.pbtxt").write_text('name: "p"')
    manager.tidy("q")  # as each load does
    assert (theirs / "config.pbtxt").read_text() == 'name: "p"'


def test_a_blob_that_rots_unseen_is_not_published(manager: Manager) -> None:
    blob = manager.blobs.path(manager.catalogue.get("p").package.file("m.onnx").digest)
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.write(b"rot")
    manager.change("p", {"max_batch_size": 2})
    with pytest.raises(StorageError, match=r"has changed on the disk.*import its package again"):
        manager.publish("p")
    assert "max_batch_size: 8" in (manager.workspace.repository / "p/config.pbtxt").read_text()


def test_what_a_kill_left_and_cannot_be_finished_stands_in_nobodys_way(manager: Manager, tmp_path: Path) -> None:
    manager.catalogue.intent("publish", ("p",)).__enter__()  # and killed
    shutil.rmtree(manager.workspace.repository / "p")
    manager.blobs.drop(manager.catalogue.get("p").package.file("m.onnx").digest)
    said: list[str] = []
    later = Manager.open(manager.workspace.root, waiting=said.append)
    later.change("c", {"max_batch_size": 2})
    assert [each.partition(":")[0] for each in said] == ["Warning"]
    assert "what a killed publish began cannot be finished" in said[0]
    later.exchange("p", tmp_path / "in")
    with later.changing("look"):
        pass
    assert later.verify() == []
    assert later.catalogue.open_intents() == []


def test_a_package_that_was_removed_is_not_known_as_optimised(manager: Manager, tmp_path: Path) -> None:
    optimised(manager, "p", precision="FP16")
    manager.remove("p")
    manager.import_package(tmp_path / "in", changes={"precision": "FP16"})
    assert manager.verify() == []
    assert [stage.state for stage in manager.show("p").optimisations] == ["missing"]


@pytest.mark.server
def test_what_serves_without_a_folder_is_known(serving: Serving) -> None:
    manager = serving.manager
    with serving.client() as client:
        client.load_and_wait("p")
        shutil.rmtree(manager.workspace.repository / "p")
        assert drift(manager, client) == ["p is served, and recorded as ready: somebody else loaded it"]
        assert list(sync(serving)) == [("unloaded", "p", "")]
        assert not client.ready("p")


@pytest.mark.server
def test_what_a_killed_switch_was_rehearsing_goes(serving: Serving) -> None:
    manager = serving.manager
    serving.load("c")
    revision = manager.catalogue.revision("c")
    assert revision is not None
    with serving.client() as client:
        manager.put(shadow_of(revision))
        client.load_and_wait("c" + NEXT)
        manager.settle(("c" + NEXT,))  # as the next change does after the kill: the folder goes, what is loaded stays
        assert drift(manager, client) == ["c.next is served, and is of no package here"]
        assert list(sync(serving)) == [("tidied", "c.next", "")]
        assert client.serving() == {model.name for model in revision.models}
        client.unload_and_wait("c")  # somebody else, who leaves the members
        manager.remove("c")
        assert client.serving() == set()


@pytest.mark.server
def test_what_served_serves_again_and_is_recorded_as_it_was(serving: Serving, tmp_path: Path) -> None:
    manager = serving.manager
    serving.load("p")
    before = manager.catalogue.history("p")[0].source
    manager.exchange("p", single(tmp_path / "bad", logarithm()))
    with pytest.raises(ServerError, match="NaN"):
        serving.load("p")
    assert manager.catalogue.history("p")[-1].source == before
    manager.publish("p")  # a load that was killed here
    with pytest.raises(ServerError, match="NaN"):
        serving.load("p")
    assert serving_answer(serving, "p") == 2.0
    assert manager.catalogue.get("p").revision == 1
    assert serving.status().drift == ()


@pytest.mark.server
def test_a_load_that_fails_leaves_no_folders(serving: Serving, tmp_path: Path) -> None:
    manager, root = serving.manager, serving.manager.workspace.repository
    manager.publish("c")
    manager.exchange("c", single(tmp_path / "bad", logarithm()))
    with pytest.raises(ServerError, match="NaN"):
        serving.load("c")
    assert {path.name for path in root.iterdir()} == {"p", *manager.models("c")}


class KilledError(BaseException):
    """As good as a kill, in this process."""


def killed(*_: object) -> None:
    raise KilledError


@pytest.mark.server
def test_folders_that_a_killed_change_has_replaced_go(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, root = serving.manager, serving.manager.workspace.repository
    serving.load("c")
    before = set(manager.models("c"))
    manager.exchange("c", cascade(tmp_path / "new", scaled(5.0, result="m"), scaled(7.0, source="m")))
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Manager, "tidy", killed)
        serving.load("c")
    assert before <= {path.name for path in root.iterdir()}
    assert list(sync(serving)) == []
    assert {path.name for path in root.iterdir()} == {"p", *manager.models("c")}


@pytest.mark.server
def test_a_killed_switch_is_tidied_by_the_next_change(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, root = serving.manager, serving.manager.workspace.repository
    serving.load("c")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Manager, "tidy", killed)
        patch.setattr(Switching, "_take_back", killed)
        Switching(serving).upgrade("c", cascade(tmp_path / "new", scaled(5.0, result="m"), scaled(7.0, source="m")))
    manager.change("p", {"max_batch_size": 2})
    assert {path.name for path in root.iterdir()} == {"p", *manager.models("c")}
