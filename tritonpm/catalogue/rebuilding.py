"""The way back from a corrupt catalogue: a new one, made from the packages' record files."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from pathlib import Path

from tritonpm.catalogue import records
from tritonpm.catalogue.catalogue import Catalogue
from tritonpm.catalogue.database import Database, plain
from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import NameTakenError
from tritonpm.core.files import sync


def rebuild(workspace: Workspace) -> list[str]:
    """Set a corrupt catalogue aside and make a new one from the packages' records; their names.

    What was published must be published again: revisions are lost, packages and settings are not. The new one is made
    whole before it takes the old one's place; the caller holds the workspace's lock. Raises StorageError.
    """
    made = workspace.database.with_suffix(".new")
    listed = list(records.read(workspace.records))
    with plain(workspace.state):
        _move(made, None)
        catalogue = Catalogue(Database(made), workspace)
        for record in listed:
            with suppress(NameTakenError):  # a crash in a rename leaves a record under each name
                catalogue.add(record.package, record.settings, record.summary, canary_of=record.canary_of)
        catalogue.policy.restore(workspace.database)
        names = [entry.name for entry in catalogue.packages()]
        catalogue.close()
        asides = (workspace.database.with_suffix(f".corrupt-{number}") for number in count(1))
        _move(workspace.database, next(aside for aside in asides if not aside.exists()))
        made.replace(workspace.database)
        sync(workspace.state)
    return names


def _move(database: Path, destination: Path | None) -> None:
    """Move a database with what SQLite keeps beside it, or delete it."""
    for suffix in ("", "-wal", "-shm"):  # between the first and the last a catalogue is lost, which `open` tells
        place = Path(f"{database}{suffix}")
        if destination is None:
            place.unlink(missing_ok=True)
        elif place.exists():
            place.replace(f"{destination}{suffix}")
