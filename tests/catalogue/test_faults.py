"""What disks do to a catalogue: no room at any write, read-only, rot, loss; and a catalogue of an earlier program."""

from __future__ import annotations

import errno
import os
import random
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.support.catalogued import SUMMARY, a_package, a_revision
from tritonpm.catalogue import Blobs, Catalogue, Workspace, create, rebuild
from tritonpm.catalogue.database import MIGRATIONS, damage
from tritonpm.core.errors import NotFoundError, StorageError, TritonpmError
from tritonpm.core.files import digest_of
from tritonpm.core.types import BatchAxis
from tritonpm.settings.settings import Settings

CHOSEN = Settings(max_batch_size=3)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create(tmp_path)


@pytest.fixture
def catalogue(workspace: Workspace) -> Iterator[Catalogue]:
    opened = Catalogue.open(workspace)
    opened.add(a_package("bolts"), CHOSEN, SUMMARY)
    yield opened
    opened.close()


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def recorded(workspace: Workspace) -> set[str]:
    return {path.stem for path in workspace.records.glob("*.json")}


def test_no_room_at_any_write_leaves_old_or_new(tmp_path: Path) -> None:
    refused = 0
    for number, room in enumerate(range(0, 40_000, 500)):
        workspace = create(tmp_path / str(number))
        catalogue = Catalogue.open(workspace)
        catalogue.add(a_package("bolts"), CHOSEN, SUMMARY)
        catalogue.close()  # the write-ahead log starts anew
        catalogue = Catalogue.open(workspace)
        changes: dict[str, Callable[[Catalogue], object]] = {
            "nuts": lambda c: c.add(a_package("nuts", 1), Settings(), SUMMARY),
            "screws": lambda c: c.rename("bolts", "screws"),
        }
        done = {"bolts"}
        for new, change in changes.items():
            try:
                with room_for(room):
                    change(catalogue)
            except StorageError:
                refused += 1
            else:
                done = {*done, new} - ({"bolts"} if new == "screws" else set())
        assert {entry.name for entry in catalogue.packages()} == done
        catalogue.close()
        Catalogue.open(workspace).close()  # with room again
        assert recorded(workspace) == done
    assert 20 < refused < 150  # both sides of every limit were met


def test_a_blob_without_room_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(1 << 20))
    with room_for(1 << 19), pytest.raises(StorageError, match=os.strerror(errno.EFBIG)):
        Blobs(workspace).put(big, digest_of(big))
    assert not list(workspace.staging.iterdir())
    assert not [path for path in workspace.blobs.rglob("*") if path.is_file()]


def test_a_record_that_cannot_be_written_now_is_written_later(workspace: Workspace, catalogue: Catalogue) -> None:
    blocked = workspace.records / "nuts.json"
    blocked.mkdir()
    catalogue.add(a_package("nuts", 1), Settings(), SUMMARY)
    assert blocked.is_dir()
    assert {path.name for path in workspace.records.iterdir()} == {"bolts.json", "nuts.json"}
    blocked.rmdir()
    Catalogue.open(workspace).close()
    assert recorded(workspace) == {"bolts", "nuts"}


def test_a_lost_catalogue_is_not_an_empty_one(workspace: Workspace, catalogue: Catalogue) -> None:
    catalogue.close()
    for content in (None, b""):
        workspace.database.unlink(missing_ok=True)
        if content is not None:
            workspace.database.write_bytes(content)
        with pytest.raises(StorageError, match=r"is lost.*--rebuild-catalogue"):
            Catalogue.open(workspace)
    assert rebuild(workspace).packages == ("bolts",)
    assert Catalogue.open(workspace).get("bolts").settings == CHOSEN


def test_a_damaged_record_costs_none_of_the_others(workspace: Workspace, catalogue: Catalogue) -> None:
    catalogue.close()
    before = workspace.database.read_bytes()
    for number, content in enumerate((b"{", b"[]", b"\xff", b'{"package": 1}', b"[" * 100_000), 1):
        (workspace.records / "nuts.json").write_bytes(content)
        rebuilt = rebuild(workspace)
        assert rebuilt.packages == ("bolts",)
        assert len(rebuilt.unreadable) == 1
        assert "nuts.json: is not a record" in rebuilt.unreadable[0]
        assert rebuilt.kept.endswith(f".corrupt-{number}")
    assert (workspace.state / "catalogue.corrupt-1").read_bytes() == before


def test_two_records_of_one_content_are_one_package(workspace: Workspace, catalogue: Catalogue) -> None:
    """A crash in the middle of a rename leaves both."""
    catalogue.close()
    text = (workspace.records / "bolts.json").read_text()
    (workspace.records / "nuts.json").write_text(text.replace('"name":"bolts"', '"name":"nuts"'))
    assert rebuild(workspace).packages == ("bolts",)


def test_every_rebuild_keeps_what_it_replaced(workspace: Workspace, catalogue: Catalogue) -> None:
    catalogue.close()
    for _ in range(3):
        assert rebuild(workspace).packages == ("bolts",)
    assert len([path for path in workspace.state.glob("*.corrupt-*") if path.suffix[-1].isdigit()]) == 3


def test_a_rebuild_without_room_leaves_the_old_one_and_says_so(workspace: Workspace, catalogue: Catalogue) -> None:
    for number in range(1, 12):
        catalogue.add(a_package(f"p{number}", number), Settings(), SUMMARY)
    catalogue.close()
    workspace.database.write_bytes(b"not a database" * 1000)
    refused = done = 0
    for room in range(0, 1_400_000, 50_000):
        before = {path.name: path.read_bytes() for path in workspace.state.glob("catalogue*")}
        try:
            with room_for(room):
                rebuilt = rebuild(workspace)
        except StorageError:
            refused += 1
            assert {path.name: path.read_bytes() for path in workspace.state.glob("catalogue*")} == before
            continue
        done += 1
        assert damage(workspace.database) == ""
        assert Path(rebuilt.kept).read_bytes() == before[workspace.database.name]
        opened = Catalogue.open(workspace)
        assert len(rebuilt.packages) == len(opened.packages()) == 12
        opened.close()
    assert refused > 3
    assert done > 3


def test_only_sqlites_own_check_calls_it_corrupt(workspace: Workspace, catalogue: Catalogue) -> None:
    for ask in (
        lambda: catalogue.get("\udcff"),
        lambda: catalogue.remove("\ud800"),
        lambda: catalogue.jobs.get(10**23),
        lambda: catalogue.jobs.get(-(1 << 64)),
    ):
        with pytest.raises(NotFoundError, match="nothing is kept under such a name or number"):
            ask()
    catalogue._database.do("UPDATE packages SET package = x'ff'")
    with pytest.raises(StorageError) as told:
        catalogue.get("bolts")
    assert "corrupt" not in str(told.value)
    with pytest.raises(StorageError, match="cannot be used") as told:
        catalogue._database.all("SELECT nonsense FROM packages")
    assert "corrupt" not in str(told.value)
    catalogue.close()
    whole = workspace.database.read_bytes()
    workspace.database.write_bytes(whole[:4096] + b"x" * 4096 + whole[8192:])
    with pytest.raises(StorageError, match="is corrupt") as told:
        Catalogue.open(workspace).packages()
    assert "--rebuild-catalogue" in str(told.value)


def test_rot_anywhere_is_a_sentence_or_not_noticed(workspace: Workspace, catalogue: Catalogue) -> None:
    for number in range(1, 20):
        catalogue.add(a_package(f"p{number}", number), Settings(), SUMMARY)
        catalogue.add_revision(f"p{number}", a_revision(f"p{number}", number))
        catalogue.put_axis(f"k{number} onnx", BatchAxis("none", "why"))
    catalogue.close()
    whole, dice, told = workspace.database.read_bytes(), random.Random(1), 0
    reads: tuple[Callable[[Catalogue], object], ...] = (
        lambda c: [c.get(entry.name) for entry in c.packages()],
        lambda c: list(c.published()),
        lambda c: c.referenced_blobs(),
        lambda c: c.axis("k3 onnx"),
        lambda c: c.open_intents(),
        lambda c: c.get("p"),
        lambda c: c.set_settings("p3", Settings(), SUMMARY),
    )
    for _ in range(150):
        rotten = bytearray(whole)
        for _ in range(8):
            rotten[dice.randrange(len(rotten))] = dice.randrange(256)
        for path in workspace.state.glob("catalogue.sqlite*"):
            path.unlink()
        workspace.database.write_bytes(rotten)
        for read in reads:
            try:
                opened = Catalogue.open(workspace)
            except StorageError:
                told += 1
                continue
            try:
                read(opened)
            except StorageError:
                told += 1
            except TritonpmError:
                pass  # a name that rotted is a name that is not there
            opened.close()
    assert told > 100


def test_rot_does_not_reach_the_records(workspace: Workspace, catalogue: Catalogue) -> None:
    good = (workspace.records / "bolts.json").read_bytes()
    catalogue._database.do("UPDATE packages SET package = ?", b"rotten")
    catalogue._database.do("INSERT INTO unrecorded VALUES ('bolts')")
    catalogue.set_status("bolts", "ready")
    Catalogue.open(workspace).close()
    assert (workspace.records / "bolts.json").read_bytes() == good


def test_a_rotten_blob_is_replaced_by_the_next_import(workspace: Workspace, tmp_path: Path) -> None:
    blobs, file = Blobs(workspace), tmp_path / "file"
    file.write_bytes(b"weights")
    digest = digest_of(file)
    blobs.put(file, digest)
    place = blobs.path(digest)
    place.chmod(0o644)
    place.write_bytes(b"Weights")
    blobs.put(file, digest)
    assert blobs.verify(digest).read_bytes() == b"weights"


def test_a_catalogue_of_version_1_is_brought_up_and_its_records_with_it(workspace: Workspace) -> None:
    old = sqlite3.connect(workspace.database)
    old.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1")
    package, summary = a_package("bolts"), SUMMARY
    old.execute(
        "INSERT INTO packages (name, digest, package, settings, summary, status, imported) VALUES (?,?,?,?,?,?,?)",
        (package.name, package.digest, *map(msgspec.json.encode, (package, CHOSEN, summary)), "ready", 0.0),
    )
    old.commit()
    old.close()
    opened = Catalogue.open(workspace)
    assert opened.get("bolts").settings == CHOSEN
    assert opened._database.one("PRAGMA user_version")[0] == len(MIGRATIONS)
    assert recorded(workspace) == {"bolts"}


def test_what_is_not_there_cannot_be_changed(catalogue: Catalogue) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'bolts'"):
        catalogue.add_revision("bolt", a_revision("bolt", 1))
    with pytest.raises(NotFoundError):
        catalogue.set_settings("bolt", Settings(), SUMMARY)
    with pytest.raises(NotFoundError):
        catalogue.rename("bolt", "nuts")
    assert [entry.name for entry in catalogue.packages()] == ["bolts"]


ADD = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.support.catalogued import SUMMARY, a_package
from tritonpm.catalogue import Catalogue, Workspace
from tritonpm.settings.settings import Settings
catalogue = Catalogue.open(Workspace(Path(sys.argv[1])))
for number in range(10):
    own = 10 * int(sys.argv[2]) + number
    catalogue.add(a_package(f"p{own}", own), Settings(), SUMMARY)
"""


def test_writers_at_once_all_succeed(workspace: Workspace) -> None:
    """From the first opening on, where each wants to make the schema."""
    writers = [subprocess.Popen([sys.executable, "-c", ADD, str(workspace.root), str(number)]) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len(Catalogue.open(workspace).packages()) == 40
    assert len(recorded(workspace)) == 40
