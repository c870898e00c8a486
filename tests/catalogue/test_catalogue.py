"""The catalogue against a plain dict, and against everything that disks and other processes do to it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tests.support.catalogued import SUMMARY, a_package, a_revision
from tritonpm.catalogue import Blobs, Catalogue, Workspace, create, find, lock, rebuild
from tritonpm.core.errors import BusyError, NameTakenError, NotFoundError, StorageError
from tritonpm.core.files import digest_of
from tritonpm.core.types import RenderedModel, RepositoryFile
from tritonpm.settings.settings import Settings


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create(tmp_path)


class AgainstADict(RuleBasedStateMachine):
    """Every change gives the catalogue and a dict the same answer."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.catalogue = Catalogue.open(create(Path(self.folder.name)))
        self.model: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        self.catalogue.close()
        self.folder.cleanup()

    @rule(target=names, name=st.sampled_from("abcd"), content=st.integers(0, 5))
    def add(self, name: str, content: int) -> str:
        made = a_package(name, content)
        try:
            self.catalogue.add(made, Settings(), SUMMARY)
        except NameTakenError:
            assert name in self.model or made.digest in [m["digest"] for m in self.model.values()]
        else:
            self.model[name] = {"digest": made.digest, "settings": Settings(), "revision": None, "status": "imported"}
        return name

    @rule(name=names, size=st.integers(1, 128))
    def set_settings(self, name: str, size: int) -> None:
        if name in self.model:
            chosen = Settings(max_batch_size=size, gpus=(size % 64,), stages={"s": {"priority": size}})
            self.catalogue.set_settings(name, chosen, SUMMARY)
            self.model[name]["settings"] = chosen

    @rule(old=names, new=st.sampled_from("abcd"))
    def rename(self, old: str, new: str) -> None:
        try:
            self.catalogue.rename(old, new)
        except NotFoundError:
            assert old not in self.model
        except NameTakenError:
            assert new in self.model
        else:
            self.model[new] = {**self.model.pop(old), "revision": None, "status": "imported"}

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.catalogue.remove(name)
        self.model.pop(name, None)

    @rule(name=names, number=st.integers(1, 9))
    def publish(self, name: str, number: int) -> None:
        if name in self.model:
            self.model[name]["revision"] = a_revision(name, number)
            self.catalogue.add_revision(name, self.model[name]["revision"])

    @rule(name=names, status=st.sampled_from(["ready", "loaded", "failed"]))
    def set_status(self, name: str, status: str) -> None:
        self.catalogue.set_status(name, status, "why")
        if name in self.model:
            self.model[name]["status"] = status

    @invariant()
    def agrees(self) -> None:
        assert [entry.name for entry in self.catalogue.packages()] == sorted(self.model)
        for name, known in self.model.items():
            record = self.catalogue.get(name)
            assert record.package == replace(a_package(name), digest=known["digest"])
            assert (record.settings, record.status) == (known["settings"], known["status"])
            assert self.catalogue.revision(name) == known["revision"]


AgainstADict.TestCase.settings = hypothesis(max_examples=25, stateful_step_count=15)
TestAgainstADict = AgainstADict.TestCase


def test_a_name_that_is_nearly_right(workspace: Workspace) -> None:
    catalogue = Catalogue.open(workspace)
    catalogue.add(a_package("bolts"), Settings(), SUMMARY)
    with pytest.raises(NotFoundError, match="did you mean 'bolts'"):
        catalogue.get("bolt")


def test_who_holds_a_model_is_found_by_its_whole_name(workspace: Workspace) -> None:
    catalogue = Catalogue.open(workspace)
    for number, name in enumerate(("line", "line-2", "other")):
        catalogue.add(a_package(name, number), Settings(), SUMMARY)
    shared = RenderedModel("eye.0a1b", (RepositoryFile("config.pbtxt", text='says "other" and "line"'),))
    for name in ("line", "line-2"):
        own = a_revision(name, 1)
        catalogue.add_revision(name, replace(own, models=(shared, *own.models)))
    catalogue.add_revision("other", a_revision("other", 2))
    found = {one: sorted(revision.name for revision in catalogue.holding([one])) for one in ("line", "eye.0a1b", "eye")}
    assert found == {"line": ["line"], "eye.0a1b": ["line", "line-2"], "eye": []}
    assert [revision.name for revision in catalogue.holding(("other", "nobody"))] == ["other"]
    assert list(catalogue.holding(())) == []


def test_a_newer_schema_is_refused(workspace: Workspace) -> None:
    Catalogue.open(workspace).close()
    sqlite3.connect(workspace.database).execute("PRAGMA user_version = 99").connection.close()
    with pytest.raises(StorageError, match="newer tritonpm"):
        Catalogue.open(workspace)


def test_a_corrupt_catalogue_is_rebuilt_from_its_records(workspace: Workspace) -> None:
    catalogue = Catalogue.open(workspace)
    chosen = Settings(max_batch_size=3)
    catalogue.add(a_package("bolts"), chosen, SUMMARY)
    catalogue.add(a_package("nuts", 1), Settings(), SUMMARY)
    catalogue.remove("nuts")
    catalogue.close()
    workspace.database.write_bytes(b"SQLite format 3\0" + os.urandom(8192))
    with pytest.raises(StorageError, match="rebuild-catalogue"):
        Catalogue.open(workspace).packages()
    assert rebuild(workspace).packages == ("bolts",)
    assert Catalogue.open(workspace).get("bolts").settings == chosen
    assert list(workspace.state.glob("*.corrupt-*"))


def test_blobs_are_kept_once_checked_and_collected(workspace: Workspace, tmp_path: Path) -> None:
    blobs, file = Blobs(workspace), tmp_path / "file"
    file.write_bytes(b"weights")
    digest = digest_of(file)
    blobs.put(file, digest)
    blobs.put(file, digest)
    blobs.verify(digest)
    assert blobs.collect({digest}) == 0
    place = blobs.path(digest)
    assert place.stat().st_mode & 0o222 == 0
    place.chmod(0o644)
    place.write_bytes(b"Weights")
    with pytest.raises(StorageError, match="changed on the disk"):
        blobs.verify(digest)
    assert blobs.collect(set()) == 1
    with pytest.raises(StorageError, match="missing"):
        blobs.path(digest)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)], check=True)
    try:
        workspace = create(root)
        Catalogue.open(workspace).close()
        big = tmp_path / "big"
        big.write_bytes(bytes(2 << 20))
        with pytest.raises(StorageError, match="disk is full"):
            Blobs(workspace).put(big, digest_of(big))
        assert not list(workspace.staging.iterdir())
        assert not [path for path in workspace.blobs.rglob("*") if path.is_file()]
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_staging_of_the_dead_is_swept_and_of_the_living_kept(workspace: Workspace) -> None:
    with workspace.scratch("import") as mine:
        dead = workspace.staging / f"import-{os.getpid()}-x"  # of an earlier process with this very number
        foreign = workspace.staging / "an-operator-s"
        dead.mkdir()
        foreign.mkdir()
        workspace.sweep()
        assert mine.is_dir()
        assert not dead.exists()
        assert foreign.is_dir()
    assert not mine.exists()


HOLDER = """
import sys, time
from pathlib import Path
from tritonpm.catalogue import find, lock
with lock(find(Path(sys.argv[1])), "hold it"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(workspace: Workspace, seconds: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(workspace.root), str(seconds)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.stdout.close()
    return process


def test_the_lock_waits_names_its_owner_and_dies_with_it(workspace: Workspace) -> None:
    said: list[str] = []
    first = holder(workspace, 1)
    with lock(workspace, "mine", waiting=said.append):
        assert first.wait(10) == 0
    assert "tritonpm hold it" in said[0]
    second = holder(workspace, 60)
    with pytest.raises(BusyError, match=rf"tritonpm hold it.*pid {second.pid}"), lock(workspace, "mine", wait=0.2):
        pass
    second.kill()
    second.wait()
    with lock(workspace, "mine", wait=5):
        pass


def test_a_workspace_is_found_from_below(workspace: Workspace) -> None:
    below = workspace.root / "a/b"
    below.mkdir(parents=True)
    here = Path.cwd()
    os.chdir(below)
    try:
        assert find().root == workspace.root.resolve()
    finally:
        os.chdir(here)
    with pytest.raises(NotFoundError, match="tritonpm init"):
        find(below)


def test_packages_are_listed_without_decoding_them(workspace: Workspace) -> None:
    catalogue = Catalogue.open(workspace)
    with catalogue._database.transaction():
        for number in range(2000):
            catalogue._database.do(
                "INSERT INTO packages (name, digest, package, settings, summary, status, imported) VALUES (?,?,?,?,?,?,?)",
                f"p{number}", str(number), b"not even JSON", b"", b'{"type":"t","stages":[],"mode":"m","device":"d",'
                b'"max_batch_size":1,"precision":"FP32"}', "imported", time.time(),
            )  # fmt: skip
    assert len(catalogue.packages()) == 2000
