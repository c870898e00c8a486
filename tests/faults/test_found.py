"""What the state machine has found, each told as plainly as it can be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consistency import optimised
from tests.support.load import serving_answer
from tests.support.models import logarithm, scaled
from tests.support.packages import cascade, single
from tests.support.workspaces import QUICKLY, opened, publish
from tritonpm.core.errors import ServerError, StorageError
from tritonpm.operations.context import Context
from tritonpm.operations.drift import drift
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load, shadow_of
from tritonpm.operations.local_repository import changing, models, put, settle, tidy
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.status import status
from tritonpm.operations.stop import stop
from tritonpm.operations.sync import sync
from tritonpm.operations.upgrade import exchange, upgrade
from tritonpm.operations.verify import mend, verify
from tritonpm.triton.ensembles import NEXT


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "a workspace")
    context = opened(tmp_path / "a workspace")
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    import_package(context, cascade(tmp_path / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    publish(context, "p")
    return context


@pytest.fixture
def server(context: Context) -> Iterator[None]:
    serve(context, None, **QUICKLY)
    yield
    stop(context, 15)


def test_what_is_published_again_is_whole(context: Context) -> None:
    config = context.workspace.repository / "p/config.pbtxt"
    before = config.read_text()
    config.write_text(before.replace("max_batch_size: 8", "max_batch_size: 3"))
    publish(context, "p")
    assert config.read_text() == before


def test_a_model_without_its_config_is_still_ours(context: Context) -> None:
    root = context.workspace.repository
    for act in (lambda: publish(context, "p"), lambda: mend(context)):
        (root / "p/config.pbtxt").unlink()
        act()
        assert verify(context) == []
    (root / "p/config.pbtxt").unlink()
    rename(context, "p", "q")
    assert list(root.iterdir()) == []
    publish(context, "q")
    (root / "q/config.pbtxt").unlink()
    remove(context, "q")
    assert list(root.iterdir()) == []


def test_somebody_elses_model_without_a_config_is_not(context: Context) -> None:
    theirs = context.workspace.repository / "c/1/model.onnx"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(scaled(11.0))
    with pytest.raises(StorageError, match="did not make"):
        publish(context, "c")
    assert theirs.read_bytes() == scaled(11.0)


def test_a_folder_in_the_way_is_told_before_anything_changes(context: Context) -> None:
    theirs = context.workspace.repository / "c"
    theirs.mkdir()
    (theirs / "config.pbtxt").write_text('name: "c"')
    with pytest.raises(StorageError, match="did not make"):
        publish(context, "c")
    assert context.catalogue.revision("c") is None
    assert context.catalogue.open_intents() == []
    assert {path.name for path in context.workspace.repository.iterdir()} == {"p", "c"}
    change(context, "p", {"max_batch_size": 2})  # nobody else is in the way


def test_somebody_elses_model_may_have_a_name_that_a_package_had_once(context: Context) -> None:
    theirs = context.workspace.repository / "p"
    rename(context, "p", "q")
    publish(context, "q")
    theirs.mkdir()
    (theirs / "config.pbtxt").write_text('name: "p"')
    tidy(context, "q")  # as each load does
    assert (theirs / "config.pbtxt").read_text() == 'name: "p"'


def test_a_blob_that_rots_unseen_is_not_published(context: Context) -> None:
    blob = context.blobs.path(context.catalogue.get("p").package.file("m.onnx").digest)
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.write(b"rot")
    change(context, "p", {"max_batch_size": 2})
    with pytest.raises(StorageError, match=r"has changed on the disk.*import its package again"):
        publish(context, "p")
    assert "max_batch_size: 8" in (context.workspace.repository / "p/config.pbtxt").read_text()


def test_what_a_kill_left_and_cannot_be_finished_stands_in_nobodys_way(context: Context, tmp_path: Path) -> None:
    context.catalogue.intent("publish", ("p",)).__enter__()  # and killed
    shutil.rmtree(context.workspace.repository / "p")
    context.blobs.drop(context.catalogue.get("p").package.file("m.onnx").digest)
    said: list[str] = []
    later = opened(context.workspace.root, warn=said.append)
    change(later, "c", {"max_batch_size": 2})
    assert [each.partition(":")[0] for each in said] == ["Warning"]
    assert "what a killed publish began cannot be finished" in said[0]
    exchange(later, "p", tmp_path / "in")
    with changing(later, "look"):
        pass
    assert verify(later) == []
    assert later.catalogue.open_intents() == []


def test_a_package_that_was_removed_is_not_known_as_optimised(context: Context, tmp_path: Path) -> None:
    optimised(context, "p", precision="FP16")
    remove(context, "p")
    import_package(context, tmp_path / "in", changes={"precision": "FP16"})
    assert verify(context) == []
    assert [stage.state for stage in show(context, "p").optimisations] == ["missing"]


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_serves_without_a_folder_is_known(context: Context) -> None:
    with connect(context) as client:
        client.load_and_wait("p")
        shutil.rmtree(context.workspace.repository / "p")
        assert drift(context, client) == [
            "p is served, and recorded as imported: somebody else loaded it; `tritonpm sync`"
        ]
        assert list(sync(context)) == [("unloaded", "p", "")]
        assert not client.ready("p")


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_a_killed_switch_was_rehearsing_goes(context: Context) -> None:
    load(context, "c")
    revision = context.catalogue.revision("c")
    assert revision is not None
    with connect(context) as client:
        put(context, shadow_of(revision))
        client.load_and_wait("c" + NEXT)
        settle(context, ("c" + NEXT,))  # as the next change does after the kill: the folder goes, what is loaded stays
        assert drift(context, client) == ["c.next is served, but belongs to no package here"]
        assert list(sync(context)) == [("tidied", "c.next", "")]
        assert client.serving() == {model.name for model in revision.models}
        client.unload_and_wait("c")  # somebody else, who leaves the members
        remove(context, "c")
        assert client.serving() == set()


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_served_serves_again_and_is_recorded_as_it_was(context: Context, tmp_path: Path) -> None:
    load(context, "p")
    before = context.catalogue.history("p")[0].source
    exchange(context, "p", single(tmp_path / "bad", logarithm()))
    with pytest.raises(ServerError, match="NaN"):
        load(context, "p")
    assert context.catalogue.history("p")[-1].source == before
    publish(context, "p")  # a load that was killed here
    with pytest.raises(ServerError, match="NaN"):
        load(context, "p")
    assert serving_answer(context, "p") == 2.0
    assert context.catalogue.get("p").revision == 1
    (sentence,) = status(context).drift  # of what is wanted: what serves is what was proved
    assert "what is wanted could not be brought in" in sentence
    assert list(sync(context)) == []


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_a_load_that_fails_leaves_no_folders(context: Context, tmp_path: Path) -> None:
    root = context.workspace.repository
    publish(context, "c")
    exchange(context, "c", single(tmp_path / "bad", logarithm()))
    with pytest.raises(ServerError, match="NaN"):
        load(context, "c")
    assert {path.name for path in root.iterdir()} == {"p", *models(context, "c")}
    assert context.catalogue.open_intents() == []


class KilledError(BaseException):
    """As good as a kill, in this process."""


def killed(*_: object) -> None:
    raise KilledError


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_folders_that_a_killed_change_has_replaced_go(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = context.workspace.repository
    load(context, "c")
    before = set(models(context, "c"))
    exchange(context, "c", cascade(tmp_path / "new", scaled(5.0, result="m"), scaled(7.0, source="m")))
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr("tritonpm.operations.load.tidy", killed)
        load(context, "c")
    assert before <= {path.name for path in root.iterdir()}
    assert list(sync(context)) == []
    assert {path.name for path in root.iterdir()} == {"p", *models(context, "c")}


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_a_killed_switch_is_tidied_by_the_next_change(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = context.workspace.repository
    load(context, "c")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr("tritonpm.operations.load.tidy", killed)
        patch.setattr("tritonpm.operations.switch.undo_change", killed)
        upgrade(context, "c", cascade(tmp_path / "new", scaled(5.0, result="m"), scaled(7.0, source="m")))
    change(context, "p", {"max_batch_size": 2})
    assert {path.name for path in root.iterdir()} == {"p", *models(context, "c")}
