"""What was edited, lost or rotten is told and mended; what somebody else did on the server is told and undone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import cascade, single
from tests.support.workspaces import opened, publish
from tritonpm.core.errors import StorageError
from tritonpm.operations.context import Context
from tritonpm.operations.drift import drift
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.remove import remove
from tritonpm.operations.render import render
from tritonpm.operations.serve import serve, stop
from tritonpm.operations.server import connect
from tritonpm.operations.status import status
from tritonpm.operations.sync import sync
from tritonpm.operations.usage import use
from tritonpm.operations.verify import mend, verify
from tritonpm.operations.why import why


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "workspace")
    context = opened(tmp_path / "workspace")
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    import_package(context, cascade(tmp_path / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    publish(context, "p")
    publish(context, "c")
    return context


def kinds(context: Context) -> list[tuple[str, str]]:
    return [(each.kind, each.sentence) for each in verify(context)]


def test_what_is_whole_is_whole(context: Context) -> None:
    assert verify(context) == []
    assert mend(context) == ([], [])


def test_edited_and_deleted_files_come_back_and_foreign_ones_stay(context: Context) -> None:
    root = context.workspace.repository
    (root / "p/config.pbtxt").write_text((root / "p/config.pbtxt").read_text() + "# mine\n")
    shutil.rmtree(root / "c")
    member = next(path for path in root.iterdir() if path.name.startswith("first."))
    (member / "1/model.onnx").unlink()
    (root / "theirs/1").mkdir(parents=True)
    (root / "theirs/config.pbtxt").write_text('name: "theirs"')
    shutil.copytree(root / "p", root / "left-over")
    said = dict(kinds(context))
    assert said["foreign"] == "was not made by tritonpm, and is left alone"
    assert said["orphan"] == "belongs to no package"
    assert {sentence for kind, sentence in kinds(context) if kind == "file"} == {"was edited", "is missing"}
    mended, left = mend(context)
    assert {each.name.partition("/")[0] for each in mended} == {"p", "c", member.name, "left-over"}
    assert [each.name for each in left] == ["theirs"]
    assert kinds(context) == [("foreign", "was not made by tritonpm, and is left alone")]
    assert (root / "theirs/config.pbtxt").read_text() == 'name: "theirs"'


def test_a_rotten_blob_is_never_served_and_an_import_heals_it(context: Context, tmp_path: Path) -> None:
    record = context.catalogue.get("p")
    blob = context.blobs.path(record.package.file("m.onnx").digest)
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.seek(20)
        stream.write(b"rot")
    found = verify(context)
    assert {each.kind for each in found} == {"blob", "file"}
    assert not any(each.mendable for each in found)
    mended, left = mend(context)
    assert (mended, len(left)) == ([], 2)
    with pytest.raises(StorageError, match=r"is missing.*import its package again"):
        render(context, "p", tmp_path / "out")
    remove(context, "p")
    import_package(context, tmp_path / "in")
    publish(context, "p")
    assert verify(context) == []


@pytest.fixture
def server(context: Context) -> Iterator[None]:
    serve(context, None, detach=True, timeout=60, standard_ports=False)
    yield
    stop(context, 15)


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_somebody_else_did_on_the_server_is_told_and_undone(context: Context) -> None:
    load(context, "c")
    with connect(context) as client:
        client.load_and_wait("p")
        assert drift(context, client) == [
            "p is served, and recorded as imported: somebody else loaded it; `tritonpm sync`"
        ]
        client.unload_and_wait("c", dependents=True)
        said = status(context).drift
        assert "c is recorded as loaded, and the server does not serve it; `tritonpm sync`" in said
        assert list(sync(context)) == [("loaded", "c", ""), ("unloaded", "p", "")]
        assert status(context).drift == ()
        assert {state.name for state in client.index() if state.state == "READY"} >= {"c"}
        assert not client.ready("p")


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_keeps_a_model_loaded(context: Context) -> None:
    load(context, "c")
    use(context, "c", "LINE-3", 60)
    assert why(context, "c") == [
        "`tritonpm load` asked for it, and `serve` loads it again", "project LINE-3 uses it",
    ]  # fmt: skip
    revision = context.catalogue.revision("c")
    assert revision is not None
    assert why(context, revision.models[0].name) == ["it is a member of the cascade c"]
    assert why(context, "p") == []
    with connect(context) as client:
        client.load_and_wait("p")
    assert "somebody else loaded it" in why(context, "p")[0]
