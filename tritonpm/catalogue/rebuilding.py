"""The way back from a corrupt catalogue: a new one, made from the packages' record files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tritonpm.catalogue import records
from tritonpm.catalogue.catalogue import Catalogue
from tritonpm.catalogue.database import Database, plain
from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import NameTakenError
from tritonpm.core.files import sync


@dataclass(frozen=True)
class Rebuilt:
    """What a new catalogue knows, what could not be read, and where the old one is kept ("": there was none)."""

    packages: tuple[str, ...]
    unreadable: tuple[str, ...]
    kept: str


def rebuild(workspace: Workspace) -> Rebuilt:
    """Set a corrupt catalogue aside and make a new one from the packages' records.

    What was published must be published again: revisions are lost, packages and settings are not. The new one is whole,
    checked and on the disk before it takes the old one's place; the caller holds the workspace's lock.
    Raises StorageError, and the old one is where it was.
    """
    made = workspace.database.with_suffix(".new")
    listed, unreadable = records.read(workspace.records)
    with plain(workspace.state):
        try:
            _move(made, None)
            packages = _filled(made, workspace, listed)
        except BaseException:
            with suppress(OSError):
                _move(made, None)
            raise
        asides = (workspace.database.with_suffix(f".corrupt-{number}") for number in count(1))
        aside = next(aside for aside in asides if not aside.exists())
        _move(workspace.database, aside)
        made.replace(workspace.database)
        sync(workspace.state)
    return Rebuilt(packages, tuple(unreadable), str(aside) if aside.exists() else "")


def _filled(made: Path, workspace: Workspace, listed: list[records.Imported]) -> tuple[str, ...]:
    """Make a catalogue of these records; the packages that it has, read from the disk. Raises StorageError."""
    database = Database(made)
    catalogue = Catalogue(database, workspace)
    try:
        for record in listed:
            with suppress(NameTakenError):  # a crash in a rename leaves a record under each name
                catalogue.add(record.package, record.settings, record.summary, canary_of=record.canary_of)
        catalogue.policy.restore(workspace.database)
        catalogue.audit.restore(workspace.database)
        names = tuple(entry.name for entry in catalogue.packages())
    except BaseException:
        catalogue.close()
        raise
    database.seal()
    return names


def _move(database: Path, destination: Path | None) -> None:
    """Move a database with what SQLite keeps beside it, or delete it."""
    for suffix in ("", "-wal", "-shm"):  # between the first and the last a catalogue is lost, which `open` tells
        place = Path(f"{database}{suffix}")
        if destination is None:
            place.unlink(missing_ok=True)
        elif place.exists():
            place.replace(f"{destination}{suffix}")
