"""What was edited, lost or rotten is told and mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.workspaces import publish
from tritonpm.catalogue import lock
from tritonpm.core.errors import StorageError
from tritonpm.operations import verify as verifying
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import shadow_of
from tritonpm.operations.local_repository import put
from tritonpm.operations.remove import remove
from tritonpm.operations.render import render
from tritonpm.operations.verify import Damage, mend, verify


def kinds(context: Context) -> list[tuple[str, str]]:
    return [(each.kind, each.sentence) for each in verify(context)]


def test_what_is_whole_is_whole(published: Context) -> None:
    assert verify(published) == []
    assert mend(published) == ([], [])


def test_edited_and_deleted_files_come_back_and_foreign_ones_stay(published: Context) -> None:
    root = published.workspace.repository
    (root / "p/config.pbtxt").write_text((root / "p/config.pbtxt").read_text() + "# mine\n")
    shutil.rmtree(root / "c")
    member = next(path for path in root.iterdir() if path.name.startswith("first."))
    (member / "1/model.onnx").unlink()
    (root / "theirs/1").mkdir(parents=True)
    (root / "theirs/config.pbtxt").write_text('name: "theirs"')
    shutil.copytree(root / "p", root / "left-over")
    said = dict(kinds(published))
    assert said["foreign"] == "was not made by tritonpm, and is left alone"
    assert said["orphan"] == "belongs to no package"
    assert {sentence for kind, sentence in kinds(published) if kind == "file"} == {"was edited", "is missing"}
    mended, left = mend(published)
    assert {each.name.partition("/")[0] for each in mended} == {"p", "c", member.name, "left-over"}
    assert [each.name for each in left] == ["theirs"]
    assert kinds(published) == [("foreign", "was not made by tritonpm, and is left alone")]
    assert (root / "theirs/config.pbtxt").read_text() == 'name: "theirs"'


def test_a_rotten_blob_is_never_served_and_an_import_heals_it(published: Context, tmp_path: Path) -> None:
    record = published.catalogue.get("p")
    blob = published.blobs.path(record.package.file("m.onnx").digest)
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.seek(20)
        stream.write(b"rot")
    found = verify(published)
    assert {each.kind for each in found} == {"blob", "file"}
    assert not any(each.mendable for each in found)
    mended, left = mend(published)
    assert (mended, len(left)) == ([], 2)
    with pytest.raises(StorageError, match=r"is missing.*import its package again"):
        render(published, "p", tmp_path / "out")
    remove(published, "p")
    import_package(published, tmp_path / "in")
    publish(published, "p")
    assert verify(published) == []


def test_what_is_being_changed_is_no_damage(published: Context) -> None:
    root = published.workspace.repository
    (again := published.catalogue.revision("p")) or pytest.fail("p is published")
    with lock(published.workspace, "upgrade p"), published.catalogue.intent("load", ("p", "p.next")):
        put(published, shadow_of(again))
        (root / "p/config.pbtxt").unlink()
        assert verify(published) == []
        (root / "c/config.pbtxt").unlink()
        assert kinds(published) == [("file", "is missing")]
    published.catalogue._database.do("INSERT INTO journal VALUES (9, 'load', CAST('[\"p\", \"p.next\"]' AS BLOB), 0)")
    assert {kind for kind, _ in kinds(published)} == {"file", "orphan"}  # nobody changes it any more: it was killed
    mended, left = mend(published)
    assert left == []
    assert kinds(published) == []
    assert {damage.name for damage in mended} == {"c/config.pbtxt"}  # the rest was recovered


def test_a_change_that_ends_meanwhile_leaves_no_damage(published: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    root, look = published.workspace.repository, verifying._look

    def looked(context: Context) -> list[Damage]:
        there = look(context)
        if (root / "p.next").exists():
            shutil.rmtree(root / "p.next")
        return there

    monkeypatch.setattr(verifying, "_look", looked)
    shutil.copytree(root / "p", root / "p.next")
    assert verify(published) == []
