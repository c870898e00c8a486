"""The SQLite file: opened, brought to this program's schema, and every error of it one sentence.

WAL mode with full synchronisation: a transaction that returned survives a power cut, one that did not is gone whole.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tritonpm.core.errors import BusyError, NameTakenError, NotFoundError, StorageError
from tritonpm.core.files import storage_error, sync

BUSY = 30.0  # seconds that a statement waits for another process's transaction
REBUILD = "rebuild it with `tritonpm doctor --rebuild-catalogue`"

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
    """
    CREATE TABLE unrecorded (name TEXT PRIMARY KEY) STRICT;
    INSERT INTO unrecorded SELECT name FROM packages;
    """,
    """
    CREATE TABLE artefacts (key TEXT PRIMARY KEY, source TEXT NOT NULL, optimised BLOB NOT NULL) STRICT;
    CREATE TABLE cascades (key TEXT PRIMARY KEY, proof BLOB NOT NULL) STRICT;
    CREATE TABLE jobs (
      id INTEGER PRIMARY KEY AUTOINCREMENT, package TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
      created REAL NOT NULL, ended REAL, pid INTEGER, born REAL, request BLOB NOT NULL
    ) STRICT;
    CREATE TABLE memory (
      digest TEXT NOT NULL, device TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (digest, device)
    ) STRICT;
    """,
    """
    ALTER TABLE revisions ADD COLUMN source BLOB;
    ALTER TABLE revisions ADD COLUMN published REAL NOT NULL DEFAULT 0;
    CREATE TABLE leases (
      id INTEGER PRIMARY KEY AUTOINCREMENT, package TEXT NOT NULL REFERENCES packages(name) ON UPDATE CASCADE
      ON DELETE CASCADE, project TEXT NOT NULL, holder TEXT NOT NULL, ttl REAL NOT NULL, renewed REAL NOT NULL,
      boot TEXT NOT NULL, UNIQUE (package, project, holder)
    ) STRICT;
    """,
    """
    ALTER TABLE packages ADD COLUMN canary_of TEXT NOT NULL DEFAULT '';
    ALTER TABLE packages ADD COLUMN versions INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE revisions ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
    UPDATE packages SET versions = 1 WHERE name IN (SELECT package FROM revisions);
    """,
    # What served is taken to be the revisions up to the current one, as a roll-back went until then. A tolerance that
    # was not a finite number was kept as null, which no program could read.
    """
    ALTER TABLE packages ADD COLUMN problem TEXT NOT NULL DEFAULT '';
    ALTER TABLE packages ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE packages ADD COLUMN server TEXT NOT NULL DEFAULT '';
    CREATE TABLE served (
      id INTEGER PRIMARY KEY AUTOINCREMENT, package TEXT NOT NULL, number INTEGER NOT NULL, probed INTEGER NOT NULL,
      at REAL NOT NULL,
      FOREIGN KEY (package, number) REFERENCES revisions(package, number) ON UPDATE CASCADE ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX served_by ON served (package);
    INSERT INTO served (package, number, probed, at)
      SELECT r.package, r.number, 1, r.published FROM packages p
      JOIN revisions c ON c.package = p.name AND c.number = p.revision
      JOIN revisions r ON r.package = p.name AND r.number <= c.number
      WHERE p.wanted OR p.status IN ('loaded', 'ready') ORDER BY r.package, r.number;
    UPDATE packages SET settings = cast(json_set(cast(settings AS TEXT), '$.tolerances',
        json_patch('{}', json_extract(cast(settings AS TEXT), '$.tolerances'))) AS BLOB)
      WHERE CASE WHEN json_valid(cast(settings AS TEXT))
        THEN EXISTS (SELECT 1 FROM json_each(cast(settings AS TEXT), '$.tolerances') t WHERE t.type = 'null')
        END;
    UPDATE revisions SET source = cast(json_set(cast(source AS TEXT), '$.settings.tolerances',
        json_patch('{}', json_extract(cast(source AS TEXT), '$.settings.tolerances'))) AS BLOB)
      WHERE CASE WHEN json_valid(cast(source AS TEXT))
        THEN EXISTS (SELECT 1 FROM json_each(cast(source AS TEXT), '$.settings.tolerances') t WHERE t.type = 'null')
        END;
    """,
    """
    CREATE TABLE policy (id INTEGER PRIMARY KEY CHECK (id = 1), requirement BLOB NOT NULL) STRICT;
    """,
    """
    CREATE TABLE audit (
      id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, role TEXT NOT NULL, way TEXT NOT NULL,
      origin TEXT NOT NULL, action TEXT NOT NULL, package TEXT NOT NULL, detail TEXT NOT NULL
    ) STRICT;
    CREATE TABLE outcomes (
      id INTEGER PRIMARY KEY, at REAL NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, package TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_of ON audit (package);
    CREATE INDEX audit_by ON audit (who);
    CREATE INDEX outcomes_of ON outcomes (package);
    """,
)
# Of packages p, what is proved as s.
WITH_PROVED = "LEFT JOIN served s ON s.id = (SELECT max(id) FROM served WHERE package = p.name)"
PROVED = 6  # the first version that knows which revisions served


class Database:
    """One connection. Everything here raises StorageError, BusyError or NameTakenError, never sqlite3's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.came_from = 0  # the version that it was found in; 0: it is new
        self._writable = not path.exists() or all(os.access(location, os.W_OK) for location in (path, path.parent))
        place = f"{path.absolute().as_uri()}?mode={'rwc' if self._writable else _read_only(path)}"
        with plain(path):
            self._connection = sqlite3.connect(
                place, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
            )
        self._connection.text_factory = _text
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the last one to close leaves one file behind, the database."""
        self._connection.close()

    def seal(self) -> None:
        """Put everything into the one file, on the disk, and close. Raises StorageError: it is not whole there.

        What was committed may be in the log beside it, and SQLite does not say where there is no room to move it.
        """
        try:
            busy, _, _ = self.one("PRAGMA wal_checkpoint(TRUNCATE)")
            mode = self.one("PRAGMA journal_mode=DELETE")[0]
        finally:
            self.close()
        why = damage(self.path) or ("its log cannot be emptied" if busy or mode != "delete" else "")
        if why:
            raise StorageError(
                f"could not be written completely ({why})", where=str(self.path), do="make room and try again"
            )
        with plain(self.path):
            sync(self.path)

    def all(self, query: str, *values: Any) -> list[Any]:
        """Every row of a query."""
        with plain(self.path):
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """The first row of a query, or None."""
        with plain(self.path):
            return self._connection.execute(query, values).fetchone()

    def do(self, statement: str, *values: Any) -> int:
        """Change something; the number of the row that came last."""
        with plain(self.path):
            return int(self._connection.execute(statement, values).lastrowid or 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's changes or none, with every other writer kept out meanwhile."""
        self.do("BEGIN IMMEDIATE")
        try:
            yield
            self.do("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite rolls back by itself where the disk is full
                self.do("ROLLBACK")
            raise

    def _prepare(self) -> None:
        self.came_from = version = self._version()
        if version > len(MIGRATIONS):
            raise StorageError(
                f"was written by a newer tritonpm (schema {version}, this one knows {len(MIGRATIONS)})",
                where=str(self.path),
                do="upgrade tritonpm",
            )
        if not self._writable:
            self._require_current(version)
            return
        self.do("PRAGMA journal_mode=WAL")
        self.do("PRAGMA synchronous=FULL")
        self.do("PRAGMA foreign_keys=ON")
        if version < len(MIGRATIONS):
            self._migrate()

    def _require_current(self, version: int) -> None:
        if version < len(MIGRATIONS):
            raise StorageError(
                "was written by an older tritonpm, and may only be read here",
                where=str(self.path),
                do="run any command as a user who may write to it",
            )

    def _migrate(self) -> None:
        """To the newest schema, or not at all; another process may have been quicker."""
        with self.transaction():
            for number in range(self._version(), len(MIGRATIONS)):
                for statement in filter(str.strip, MIGRATIONS[number].split(";")):
                    self.do(statement)
            self.do(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _version(self) -> int:
        return int(self.one("PRAGMA user_version")[0])


def _text(content: bytes) -> str:
    """A text that has rotted is not the text that it was, and stands in the way of no other."""
    return content.decode(errors="replace")


def damage(path: Path) -> str:
    """What SQLite's own check says of a database, "" where it is sound: nothing else calls one corrupt."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY)) as connection:
            connection.text_factory = _text
            said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.OperationalError:  # it is busy, or cannot be opened, which says nothing of what it holds
        return ""
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # its own sentence may hold what has rotted
        return str(error)
    return "" if said == "ok" else str(said)


def _unusable(path: Path, said: str) -> StorageError:
    if path.is_file() and (why := damage(path)):
        return StorageError(f"is corrupt ({' '.join(why.split())})", where=str(path), do=REBUILD)
    do = "make room and try again" if "full" in said else "check the disk and permissions"
    return StorageError(f"cannot be used ({said})", where=str(path), do=do)


def _read_only(path: Path) -> str:
    """How SQLite opens what may only be read; where no log lies beside it, nobody writes, and nothing is locked."""
    return "ro" if Path(f"{path}-wal").exists() else "ro&immutable=1"


@contextmanager
def plain(where: Path) -> Iterator[None]:
    """Turn what SQLite, the file system and a decoder of rotten bytes say into one sentence."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise BusyError("another tritonpm is writing to the catalogue", where=str(where), do="try again") from None
        raise _unusable(where, str(error)) from None
    except sqlite3.IntegrityError as error:
        raise NameTakenError(
            f"it is there already ({error})", where=str(where), do="`tritonpm list` shows what is"
        ) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise _unusable(where, str(error)) from None
    except (UnicodeEncodeError, OverflowError) as error:  # of what was asked for: nothing is kept under such a key
        raise NotFoundError(f"nothing is kept under such a name or number ({error})", do="check it") from None
    except OSError as error:
        raise storage_error(error, where) from None
