"""Workspaces that earlier programs wrote (fixtures/, made by fixtures/make_workspace.py) open and are right."""

from __future__ import annotations

import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonpm.catalogue import Blobs, Catalogue, Listing, Workspace
from tritonpm.catalogue.database import MIGRATIONS

ARCHIVE = Path(__file__).parent / "fixtures" / "workspace-0.1.0.tar.gz"
# package: status, wanted, current, history, what served (newest first), changed
KNOWN = {
    "drifted": ("loaded", True, 1, [1], [1], True),
    "failed": ("failed", False, 1, [1], [], False),
    "imported": ("imported", False, None, [], [], False),
    "leased": ("loaded", True, 1, [1], [1], False),
    "leased-canary": ("loaded", True, 1, [1], [1], False),
    "line": ("loaded", True, 1, [1], [1], False),
    "rolled-back": ("loaded", True, 1, [2, 1], [1], False),
    "unloaded": ("ready", False, 1, [1], [1], False),
    "upgraded": ("loaded", True, 3, [3, 2, 1], [3, 2, 1], False),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def catalogue(workspace: Workspace) -> Iterator[Catalogue]:
    opened = Catalogue.open(workspace)
    yield opened
    opened.close()


def test_every_package_is_what_it_was_and_what_served_is_proved(catalogue: Catalogue) -> None:
    found = {}
    for name in KNOWN:
        record = catalogue.get(name)
        assert (record.proved, record.probed, record.problem, record.server) == (
            next(iter(catalogue.served(name)), None), True, "", "",
        )  # fmt: skip
        numbers = [published.number for published in catalogue.history(name)]
        found[name] = (
            record.status, record.wanted, record.revision, numbers, catalogue.served(name), record.changed,
        )  # fmt: skip
    assert found == KNOWN
    assert catalogue.wanted() == sorted(name for name, (_, wanted, *_) in KNOWN.items() if wanted)
    assert {name: catalogue.before(name) for name in KNOWN if catalogue.before(name)} == {"upgraded": 2}


def test_the_list_says_the_same(workspace: Workspace) -> None:
    listing = Listing.open(workspace)
    entries = {entry.name: entry for entry in listing.packages()}
    assert {
        name: (entry.status, entry.wanted, entry.revision, entry.proved, entry.changed)
        for name, entry in entries.items()
    } == {
        name: (status, wanted, current, next(iter(served), None), changed)
        for name, (status, wanted, current, _, served, changed) in KNOWN.items()
    }
    assert entries["leased-canary"].canary_of == "leased"
    assert listing.users() == {"leased": ("press-4",)}


def test_what_is_proved_is_whole(workspace: Workspace, catalogue: Catalogue) -> None:
    proved = catalogue.proved("line")
    assert proved is not None
    assert proved.revision == catalogue.revision("line")
    assert proved.source is not None
    assert proved.source.settings.for_stage("second").priority == 2
    assert catalogue.proved("failed") is None
    for digest in catalogue.referenced_blobs():
        Blobs(workspace).verify(digest)
    assert catalogue.unreadable() == []
    assert catalogue._database.one("PRAGMA user_version")[0] == len(MIGRATIONS)


def test_an_infinite_tolerance_that_0_1_0_kept_is_readable_again(workspace: Workspace) -> None:
    """It was kept as null: nothing that read the package worked."""
    database = sqlite3.connect(workspace.database)
    null = """replace(CAST({0} AS TEXT), '"tolerances":{{}}', '"tolerances":{{"max_abs":null,"cosine":0.5}}')"""
    for table, column in (("packages", "settings"), ("revisions", "source")):
        database.execute(f"UPDATE {table} SET {column} = CAST({null.format(column)} AS BLOB)")
    database.commit()
    database.close()
    catalogue = Catalogue.open(workspace)
    assert catalogue.unreadable() == []
    assert all(catalogue.get(name).settings.tolerances == {"cosine": 0.5} for name in KNOWN)
    assert [record.source is not None for record in catalogue.history("upgraded")] == [True] * 3
    assert catalogue.get("line").settings.stages == {"second": {"priority": 2}}
