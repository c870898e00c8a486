"""What was edited, lost or rotten is told and mended; what somebody else did on the server is told and undone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import cascade, single
from tritonpm.core.errors import StorageError
from tritonpm.operations import upkeep
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    init(tmp_path / "workspace")
    opened = Manager.open(tmp_path / "workspace")
    opened.import_package(single(tmp_path / "in", scaled(2.0)))
    opened.import_package(cascade(tmp_path / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    opened.publish("p")
    opened.publish("c")
    return opened


def kinds(manager: Manager) -> list[tuple[str, str]]:
    return [(each.kind, each.sentence) for each in manager.verify()]


def test_what_is_whole_is_whole(manager: Manager) -> None:
    assert manager.verify() == []
    assert manager.mend() == ([], [])


def test_edited_and_deleted_files_come_back_and_foreign_ones_stay(manager: Manager) -> None:
    root = manager.workspace.repository
    (root / "p/config.pbtxt").write_text((root / "p/config.pbtxt").read_text() + "# mine\n")
    shutil.rmtree(root / "c")
    member = next(path for path in root.iterdir() if path.name.startswith("first."))
    (member / "1/model.onnx").unlink()
    (root / "theirs/1").mkdir(parents=True)
    (root / "theirs/config.pbtxt").write_text('name: "theirs"')
    shutil.copytree(root / "p", root / "left-over")
    said = dict(kinds(manager))
    assert said["foreign"] == "was not made by tritonpm, and is left alone"
    assert said["orphan"] == "belongs to no package"
    assert {sentence for kind, sentence in kinds(manager) if kind == "file"} == {"was edited", "is missing"}
    mended, left = manager.mend()
    assert {each.name.partition("/")[0] for each in mended} == {"p", "c", member.name, "left-over"}
    assert [each.name for each in left] == ["theirs"]
    assert kinds(manager) == [("foreign", "was not made by tritonpm, and is left alone")]
    assert (root / "theirs/config.pbtxt").read_text() == 'name: "theirs"'


def test_a_rotten_blob_is_never_served_and_an_import_heals_it(manager: Manager, tmp_path: Path) -> None:
    record = manager.catalogue.get("p")
    blob = manager.blobs.path(record.package.file("m.onnx").digest)
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.seek(20)
        stream.write(b"rot")
    found = manager.verify()
    assert {each.kind for each in found} == {"blob", "file"}
    assert not any(each.mendable for each in found)
    mended, left = manager.mend()
    assert (mended, len(left)) == ([], 2)
    with pytest.raises(StorageError, match=r"is missing.*import its package again"):
        manager.render("p", tmp_path / "out")
    manager.remove("p")
    manager.import_package(tmp_path / "in")
    manager.publish("p")
    assert manager.verify() == []


@pytest.fixture
def serving(manager: Manager) -> Iterator[Serving]:
    found = Serving(manager)
    found.serve(None, detach=True, timeout=60, standard_ports=False)
    yield found
    found.stop(15)


@pytest.mark.server
def test_what_somebody_else_did_on_the_server_is_told_and_undone(serving: Serving) -> None:
    serving.load("c")
    with serving.client() as client:
        client.load_and_wait("p")
        assert upkeep.drift(serving.manager, client) == ["p is served, and recorded as ready: somebody else loaded it"]
        client.unload_and_wait("c", dependents=True)
        said = serving.status().drift
        assert "c is recorded as loaded, and the server does not serve it" in said
        assert list(upkeep.sync(serving)) == [("loaded", "c", ""), ("unloaded", "p", "")]
        assert serving.status().drift == ()
        assert {state.name for state in client.index() if state.state == "READY"} >= {"c"}
        assert not client.ready("p")


@pytest.mark.server
def test_what_keeps_a_model_loaded(serving: Serving) -> None:
    serving.load("c")
    serving.manager.use("c", "LINE-3", 60)
    assert upkeep.why(serving, "c") == [
        "`tritonpm load` asked for it, and `serve` loads it again", "project LINE-3 uses it",
    ]  # fmt: skip
    revision = serving.manager.catalogue.revision("c")
    assert revision is not None
    assert upkeep.why(serving, revision.models[0].name) == ["it is a member of the cascade c"]
    assert upkeep.why(serving, "p") == []
    with serving.client() as client:
        client.load_and_wait("p")
    assert "somebody else loaded it" in upkeep.why(serving, "p")[0]
