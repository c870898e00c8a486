"""What the workspace knows and promised: packages, settings, revisions, proofs, and the journal of open changes.

SQLite in WAL mode with full synchronisation: a transaction that returned survives a power cut, one that did not is gone
whole. Each package's record is also written beside it as JSON, from which a corrupt catalogue is rebuilt.
"""

from __future__ import annotations

import difflib
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from tritonpm.catalogue.workspace import Workspace
from tritonpm.data import BatchAxis, Package, Revision, Settings
from tritonpm.disk import storage_error
from tritonpm.errors import BusyError, NameTakenError, NotFoundError, StorageError

BUSY = 30.0  # seconds that a statement waits for another process's transaction

# Each entry brings a catalogue from the version that is its index to the next one.
MIGRATIONS = (
    """
    CREATE TABLE packages (
      name TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, package BLOB NOT NULL, settings BLOB NOT NULL,
      summary BLOB NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', wanted INTEGER NOT NULL DEFAULT 0,
      revision INTEGER, imported REAL NOT NULL
    ) STRICT;
    CREATE TABLE revisions (
      package TEXT NOT NULL REFERENCES packages(name) ON UPDATE CASCADE ON DELETE CASCADE, number INTEGER NOT NULL,
      digest TEXT NOT NULL, revision BLOB NOT NULL, PRIMARY KEY (package, number)
    ) STRICT;
    CREATE TABLE axes (key TEXT PRIMARY KEY, axis BLOB NOT NULL) STRICT;
    CREATE TABLE journal (
      id INTEGER PRIMARY KEY, operation TEXT NOT NULL, models BLOB NOT NULL, started REAL NOT NULL
    ) STRICT;
    """,
)


@dataclass(frozen=True)
class Summary:
    """What a list shows of a package, kept ready so that a list decodes nothing else."""

    type: str
    stages: tuple[str, ...]
    mode: str
    device: str
    max_batch_size: int
    precision: str


@dataclass(frozen=True)
class Entry:
    """A row of the list."""

    name: str
    digest: str
    summary: Summary
    status: str
    reason: str
    revision: int | None


@dataclass(frozen=True)
class Record:
    """All that is known of one package."""

    package: Package
    settings: Settings
    summary: Summary
    status: str
    reason: str
    wanted: bool
    revision: int | None


class Catalogue:
    """The catalogue of one workspace; open it with `Catalogue.open`."""

    def __init__(self, connection: sqlite3.Connection, workspace: Workspace) -> None:
        self._connection, self._workspace = connection, workspace

    @classmethod
    def open(cls, workspace: Workspace) -> Catalogue:
        """Open, and bring to this program's schema. Raises StorageError (corrupt, unreadable, newer), BusyError."""
        where = str(workspace.database)
        with _plain(workspace.database):
            connection = sqlite3.connect(
                workspace.database, timeout=BUSY, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                connection.close()
                raise StorageError(
                    f"was written by a newer tritonpm (schema {version}, this one knows {len(MIGRATIONS)})",
                    where=where,
                    do="upgrade tritonpm",
                )
            for number in range(version, len(MIGRATIONS)):
                _migrate(connection, number)
        return cls(connection, workspace)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # Reading

    def packages(self) -> list[Entry]:
        """Every package, by name."""
        rows = self._all("SELECT name, digest, summary, status, reason, revision FROM packages ORDER BY name")
        decode = msgspec.json.Decoder(Summary).decode
        return [Entry(n, digest, decode(summary), *rest) for n, digest, summary, *rest in rows]

    def get(self, name: str) -> Record:
        """One package. Raises NotFoundError, with the names that are near."""
        columns = "package, settings, summary, status, reason, wanted, revision"
        row = self._one(f"SELECT {columns} FROM packages WHERE name = ?", name)  # noqa: S608
        if row is None:
            near = difflib.get_close_matches(name, [n for (n,) in self._all("SELECT name FROM packages")], 1)
            hint = f"did you mean {near[0]!r}?" if near else "`tritonpm list` shows the packages"
            raise NotFoundError(f"there is no package {name!r}", where=str(self._workspace.root), do=hint)
        package = msgspec.json.decode(row[0], type=Package)
        settings = msgspec.json.decode(row[1], type=Settings)
        summary = msgspec.json.decode(row[2], type=Summary)
        return Record(package, settings, summary, row[3], row[4], bool(row[5]), row[6])

    def require_free(self, name: str, digest: str = "") -> None:
        """Raises NameTakenError where the name, or the same content under another name, is there already."""
        if self._one("SELECT 1 FROM packages WHERE name = ?", name):
            raise NameTakenError(
                f"the name {name!r} is taken", do=f"import it with another --name, or `tritonpm remove {name}` first"
            )
        if digest and (same := self._one("SELECT name FROM packages WHERE digest = ?", digest)):
            raise NameTakenError(
                f"the same content is there as {same[0]!r}", do=f"use it, or `tritonpm rename {same[0]} {name}`"
            )

    def wanted(self) -> list[str]:
        """The packages that shall be loaded whenever a server runs."""
        return [name for (name,) in self._all("SELECT name FROM packages WHERE wanted ORDER BY name")]

    def revision(self, name: str) -> Revision | None:
        """What is published of a package."""
        row = self._one(
            "SELECT r.revision FROM revisions r JOIN packages p ON p.name = r.package AND p.revision = r.number "
            "WHERE p.name = ?",
            name,
        )
        return msgspec.json.decode(row[0], type=Revision) if row else None

    def models_ever(self, name: str) -> set[str]:
        """The model folders of all revisions of a package, current or not."""
        rows = self._all("SELECT revision FROM revisions WHERE package = ?", name)
        return {model.name for (row,) in rows for model in msgspec.json.decode(row, type=Revision).models}

    def published(self) -> Iterator[Revision]:
        """The current revision of every package that has one."""
        query = "SELECT r.revision FROM revisions r JOIN packages p ON p.name = r.package AND p.revision = r.number"
        for (revision,) in self._all(query):
            yield msgspec.json.decode(revision, type=Revision)

    def referenced_blobs(self) -> set[str]:
        """The digests that a package, a revision or a proof refers to."""
        found: set[str] = set()
        for (package,) in self._all("SELECT package FROM packages"):
            found |= {file.digest for file in msgspec.json.decode(package, type=Package).files}
        for (revision,) in self._all("SELECT revision FROM revisions"):
            models = msgspec.json.decode(revision, type=Revision).models
            found |= {file.blob for model in models for file in model.files if file.blob}
        for key, axis in self._all("SELECT key, axis FROM axes"):
            artefact = msgspec.json.decode(axis, type=BatchAxis).artefact
            if artefact and key.split(" ")[0] in found:
                found.add(artefact)
        return found

    def axis(self, key: str) -> BatchAxis | None:
        """What was proved of a model's batch axis."""
        row = self._one("SELECT axis FROM axes WHERE key = ?", key)
        return msgspec.json.decode(row[0], type=BatchAxis) if row else None

    # Changing

    def add(self, package: Package, settings: Settings, summary: Summary) -> None:
        """A new package. Raises NameTakenError."""
        self.require_free(package.name, package.digest)
        self._do(
            "INSERT INTO packages (name, digest, package, settings, summary, status, imported) VALUES (?,?,?,?,?,?,?)",
            package.name, package.digest, _json(package), _json(settings), _json(summary), "imported", time.time(),
        )  # fmt: skip
        self._record(package.name)

    def set_settings(self, name: str, settings: Settings, summary: Summary) -> None:
        """Other settings for a package."""
        self._do("UPDATE packages SET settings = ?, summary = ? WHERE name = ?", _json(settings), _json(summary), name)
        self._record(name)

    def set_status(self, name: str, status: str, reason: str = "", *, wanted: bool | None = None) -> None:
        """imported, ready, loaded or failed, with the reason; `wanted`: whether it shall be loaded."""
        self._do(
            "UPDATE packages SET status = ?, reason = ?, wanted = coalesce(?, wanted) WHERE name = ?",
            status, reason, wanted, name,
        )  # fmt: skip

    def rename(self, name: str, new_name: str) -> None:
        """Another name; what was published under the old one is no longer current. Raises NameTakenError."""
        self.require_free(new_name)
        renamed = replace(self.get(name).package, name=new_name)
        with self._transaction():
            self._do("UPDATE packages SET name = ?, package = ? WHERE name = ?", new_name, _json(renamed), name)
            self._do(
                "UPDATE packages SET revision = NULL, status = 'imported', reason = '', wanted = 0 WHERE name = ?",
                new_name,
            )
        self._record(new_name)
        self._forget(name)

    def remove(self, name: str) -> None:
        """Forget a package."""
        self._do("DELETE FROM packages WHERE name = ?", name)
        self._forget(name)

    def add_revision(self, name: str, revision: Revision) -> int:
        """Make `revision` the current one of a package; its number."""
        with self._transaction():
            row = self._one("SELECT coalesce(max(number), 0) + 1 FROM revisions WHERE package = ?", name)
            number = int(row[0]) if row else 1
            self._do("INSERT INTO revisions VALUES (?,?,?,?)", name, number, revision.digest, _json(revision))
            self._do("UPDATE packages SET revision = ? WHERE name = ?", number, name)
        return number

    def put_axis(self, key: str, axis: BatchAxis) -> None:
        """Keep what was proved."""
        self._do("INSERT OR REPLACE INTO axes VALUES (?,?)", key, _json(axis))

    @contextmanager
    def intent(self, operation: str, models: tuple[str, ...]) -> Iterator[None]:
        """Journal that the folders of `models` are about to change; the entry goes when they have.

        After a crash the entry stays, and the manager makes those folders agree with the catalogue.
        """
        entry = self._do(
            "INSERT INTO journal (operation, models, started) VALUES (?,?,?)", operation, _json(models), time.time()
        )
        yield
        self.close_intent(entry)

    def open_intents(self) -> list[tuple[int, str, tuple[str, ...]]]:
        """(id, operation, models) of the changes that did not end."""
        rows = self._all("SELECT id, operation, models FROM journal ORDER BY id")
        return [(entry, what, msgspec.json.decode(models, type=tuple[str, ...])) for entry, what, models in rows]

    def close_intent(self, entry: int) -> None:
        """What was intended has happened, or was undone."""
        self._do("DELETE FROM journal WHERE id = ?", entry)

    # Records beside the database

    def _record(self, name: str) -> None:
        record = self.get(name)
        aside = self._workspace.records / f"{name}.json.new"
        with _plain(self._workspace.records):
            aside.parent.mkdir(exist_ok=True)
            aside.write_bytes(
                _json({"package": record.package, "settings": record.settings, "summary": record.summary})
            )
            aside.replace(self._workspace.records / f"{name}.json")

    def _forget(self, name: str) -> None:
        (self._workspace.records / f"{name}.json").unlink(missing_ok=True)

    # SQLite

    def _all(self, query: str, *values: Any) -> list[Any]:
        with _plain(self._workspace.database):
            return self._connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> Any:
        with _plain(self._workspace.database):
            return self._connection.execute(query, values).fetchone()

    def _do(self, statement: str, *values: Any) -> int:
        with _plain(self._workspace.database):
            return int(self._connection.execute(statement, values).lastrowid or 0)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._do("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._do("ROLLBACK")
            raise
        self._do("COMMIT")


def rebuild(workspace: Workspace) -> list[str]:
    """Set a corrupt catalogue aside and make a new one from the packages' records; their names.

    What was published must be published again: revisions are lost, packages and settings are not.
    """
    aside = workspace.database.with_suffix(f".corrupt-{int(time.time())}")
    for suffix in ("", "-wal", "-shm"):
        place = Path(f"{workspace.database}{suffix}")
        if place.exists():
            place.replace(f"{aside}{suffix}")
    catalogue = Catalogue.open(workspace)
    names = []
    for path in sorted(workspace.records.glob("*.json")):
        record = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        package = msgspec.json.decode(record["package"], type=Package)
        settings = msgspec.json.decode(record["settings"], type=Settings)
        catalogue.add(package, settings, msgspec.json.decode(record["summary"], type=Summary))
        names.append(package.name)
    catalogue.close()
    return names


def _migrate(connection: sqlite3.Connection, number: int) -> None:
    """One migration and its version number, together or not at all; another process may have been quicker."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == number:
            for statement in MIGRATIONS[number].split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


@contextmanager
def _plain(where: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say into one sentence."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise BusyError("another tritonpm is writing to the catalogue", where=str(where), do="try again") from None
        raise StorageError(f"cannot be used ({error})", where=str(where), do="check the disk and permissions") from None
    except sqlite3.IntegrityError as error:
        raise NameTakenError(
            f"it is there already ({error})", where=str(where), do="`tritonpm list` shows what is"
        ) from None
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"is corrupt ({error})", where=str(where), do="rebuild it with `tritonpm doctor --rebuild-catalogue`"
        ) from None
    except OSError as error:
        raise storage_error(error, where) from None


def _json(value: Mapping[str, Any] | Any) -> bytes:
    return msgspec.json.encode(value)
