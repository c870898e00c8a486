"""What the workspace knows and promised: packages, settings, revisions, proofs, and the journal of open changes.

What a change leaves to be done on the disk is noted in its own transaction: folders in `journal`, record files in
`unrecorded`. A crash, or a full disk, delays them; it cannot lose them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tritonpm.catalogue import records
from tritonpm.catalogue.artefacts import Artefacts
from tritonpm.catalogue.database import Database, plain
from tritonpm.catalogue.listing import Listing, Summary
from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import BusyError, NameTakenError, NotFoundError, StorageError
from tritonpm.core.files import sync
from tritonpm.core.types import BatchAxis, Package, Revision
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
_CANARY = "+canary"  # after the digest of a canary, which may have the content of another package


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
    canary_of: str = ""


@dataclass(frozen=True)
class Source:
    """What a revision was made of."""

    package: Package
    settings: Settings


@dataclass(frozen=True)
class Published:
    """A revision that is kept; `source` is None for those that an older tritonpm published."""

    number: int
    revision: Revision
    source: Source | None
    published: float  # seconds since the epoch, for a person to read
    current: bool
    version: int  # the number of its content: 1 for the first, one more for each other content


class Catalogue(Listing):
    """The catalogue of one workspace; open it with `Catalogue.open`."""

    def __init__(self, database: Database, workspace: Workspace) -> None:
        super().__init__(database, workspace)
        self.artefacts = Artefacts(database)

    @classmethod
    def open(cls, workspace: Workspace) -> Self:
        """As `Listing.open`, with the record files brought up to date."""
        catalogue = super().open(workspace)
        catalogue._keep_records()
        return catalogue

    # Reading

    def get(self, name: str) -> Record:
        """One package. Raises NotFoundError, with the names that are near."""
        columns = "package, settings, summary, status, reason, wanted, revision, canary_of"
        row = self._database.one(f"SELECT {columns} FROM packages WHERE name = ?", name)  # noqa: S608
        if row is None:
            raise self._unknown(name)
        package = self._decoded(row[0], Package)
        settings = self._decoded(row[1], Settings)
        summary = self._decoded(row[2], Summary)
        return Record(package, settings, summary, row[3], row[4], bool(row[5]), *row[6:])

    def _require(self, name: str) -> None:
        if not self._database.one("SELECT 1 FROM packages WHERE name = ?", name):
            raise self._unknown(name)

    def _unknown(self, name: str) -> NotFoundError:
        import difflib

        names = self._database.all("SELECT name FROM packages")
        near = difflib.get_close_matches(name, [known for (known,) in names if known], 1)  # a rotten key may be NULL
        hint = f"did you mean {near[0]!r}?" if near else "`tritonpm list` shows the packages"
        return NotFoundError(f"there is no package {name!r}", where=str(self._workspace.root), do=hint)

    def require_free(self, name: str, digest: str = "") -> None:
        """Raises NameTakenError where the name, or the same content under another name, is there already."""
        if self._database.one("SELECT 1 FROM packages WHERE name = ?", name):
            raise NameTakenError(
                f"the name {name!r} is taken", do=f"import it with another --name, or `tritonpm remove {name}` first"
            )
        if digest and (same := self._database.one("SELECT name FROM packages WHERE digest = ?", digest)):
            raise NameTakenError(
                f"the same content is there as {same[0]!r}", do=f"use it, or `tritonpm rename {same[0]} {name}`"
            )

    def wanted(self) -> list[str]:
        """The packages that shall be loaded whenever a server runs."""
        return [name for (name,) in self._database.all("SELECT name FROM packages WHERE wanted ORDER BY name")]

    def revision(self, name: str) -> Revision | None:
        """What is published of a package."""
        row = self._database.one(
            "SELECT r.revision FROM revisions r JOIN packages p ON p.name = r.package AND p.revision = r.number "
            "WHERE p.name = ?",
            name,
        )
        return self._decoded(row[0], Revision) if row else None

    def history(self, name: str) -> list[Published]:
        """The revisions of a package that are kept, the newest first. Raises NotFoundError."""
        current = self.get(name).revision
        rows = self._database.all(
            "SELECT number, revision, source, published, version FROM revisions WHERE package = ? ORDER BY number DESC",
            name,
        )
        return [
            Published(
                number, self._decoded(revision, Revision), self._decoded(source, Source) if source else None,
                published, number == current, version,
            )
            for number, revision, source, published, version in rows
        ]  # fmt: skip

    def version_of(self, name: str, digest: str) -> int:
        """The number of a content among a package's, by the package's digest; the next one where it is new."""
        rows = self._database.all("SELECT version, source FROM revisions WHERE package = ?", name)
        for version, source in rows:
            if source and self._decoded(source, Source).package.digest == digest:
                return int(version)
        row = self._database.one("SELECT versions FROM packages WHERE name = ?", name)
        return int(row[0]) + 1 if row else 1

    def models_ever(self, name: str) -> set[str]:
        """The model folders of all revisions of a package, current or not."""
        rows = self._database.all("SELECT revision FROM revisions WHERE package = ?", name)
        return {model.name for (row,) in rows for model in self._decoded(row, Revision).models}

    def published(self) -> Iterator[Revision]:
        """The current revision of every package that has one."""
        query = "SELECT r.revision FROM revisions r JOIN packages p ON p.name = r.package AND p.revision = r.number"
        for (revision,) in self._database.all(query):
            yield self._decoded(revision, Revision)

    def holding(self, models: Iterable[str]) -> Iterator[Revision]:
        """The current revisions that have one of `models`; only what may have one is decoded."""
        wanted = set(models)
        query = (
            "SELECT r.revision FROM revisions r JOIN packages p ON p.name = r.package AND p.revision = r.number "
            "WHERE EXISTS (SELECT 1 FROM json_each(?) m WHERE instr(r.revision, m.value))"
        )
        names = _json([msgspec.json.encode(name).decode() for name in sorted(wanted)]).decode()
        for (row,) in self._database.all(query, names):
            revision = self._decoded(row, Revision)
            if wanted & {model.name for model in revision.models}:
                yield revision

    def referenced_blobs(self) -> set[str]:
        """The digests that a package, a revision or a proof refers to."""
        found: set[str] = set()
        for (package,) in self._database.all("SELECT package FROM packages"):
            found |= {file.digest for file in self._decoded(package, Package).files}
        for revision, source in self._database.all("SELECT revision, source FROM revisions"):
            models = self._decoded(revision, Revision).models
            found |= {file.blob for model in models for file in model.files if file.blob}
            if source:
                told = self._decoded(source, Source)
                found |= {file.digest for file in told.package.files} | _chosen(told.settings)
        for key, axis in self._database.all("SELECT key, axis FROM axes"):
            artefact = self._decoded(axis, BatchAxis).artefact
            if artefact and key.split(" ")[0] in found:
                found.add(artefact)
        for (settings,) in self._database.all("SELECT settings FROM packages"):
            found |= _chosen(self._decoded(settings, Settings))
        return found | self.artefacts.blobs(found)

    def axis(self, key: str) -> BatchAxis | None:
        """What was proved of a model's batch axis."""
        row = self._database.one("SELECT axis FROM axes WHERE key = ?", key)
        return self._decoded(row[0], BatchAxis) if row else None

    # Changing

    def add(self, package: Package, settings: Settings, summary: Summary, *, canary_of: str = "") -> None:
        """A new package; a canary may have the content of the one that it is of. Raises NameTakenError."""
        digest = f"{package.digest}{_CANARY}" if canary_of else package.digest
        with self._changing(package.name):
            self.require_free(package.name, digest)
            self._database.do(
                "INSERT INTO packages (name, digest, package, settings, summary, status, imported, canary_of) "
                "VALUES (?,?,?,?,?,'imported',?,?)",
                package.name, digest, _json(package), _json(settings), _json(summary), time.time(), canary_of,
            )  # fmt: skip

    def set_settings(self, name: str, settings: Settings, summary: Summary) -> None:
        """Other settings for a package. Raises NotFoundError."""
        with self._changing(name):
            self._require(name)
            self._database.do(
                "UPDATE packages SET settings = ?, summary = ? WHERE name = ?", _json(settings), _json(summary), name
            )

    def set_status(self, name: str, status: str, reason: str = "", *, wanted: bool | None = None) -> None:
        """imported, ready, loaded or failed, with the reason; `wanted`: whether it shall be loaded."""
        self._database.do(
            "UPDATE packages SET status = ?, reason = ?, wanted = coalesce(?, wanted) WHERE name = ?",
            status, reason, wanted, name,
        )  # fmt: skip

    def rename(self, name: str, new_name: str) -> None:
        """Another name; what was published under the old one is no longer current.

        Raises NameTakenError, NotFoundError.
        """
        with self._changing(new_name, name):
            self.require_free(new_name)
            renamed = replace(self.get(name).package, name=new_name)
            self._database.do(
                "UPDATE packages SET name = ?, package = ?, revision = NULL, status = 'imported', reason = '', "
                "wanted = 0 WHERE name = ?",
                new_name, _json(renamed), name,
            )  # fmt: skip

    def remove(self, name: str) -> None:
        """Forget a package, if it is there."""
        with self._changing(name):
            self._database.do("DELETE FROM packages WHERE name = ?", name)

    def add_revision(self, name: str, revision: Revision) -> int:
        """Make `revision` the current one of a package; its number. Raises NotFoundError.

        One that is known keeps what it was made of: who goes back to it may have chosen something else by then.
        """
        with self._database.transaction():
            record = self.get(name)
            known = self._database.one(
                "SELECT number, version FROM revisions WHERE package = ? AND digest = ?", name, revision.digest
            )
            number, version = known or self._add_revision(name, revision, Source(record.package, record.settings))
            self._database.do(
                "UPDATE revisions SET published = ? WHERE package = ? AND number = ?", time.time(), name, number
            )
            self._database.do(
                "UPDATE packages SET revision = ?, versions = max(versions, ?) WHERE name = ?", number, version, name
            )
        return int(number)

    def _add_revision(self, name: str, revision: Revision, source: Source) -> tuple[int, int]:
        """The number and the version that it gets."""
        query = "SELECT coalesce(max(number), 0) + 1 FROM revisions WHERE package = ?"
        number, version = int(self._database.one(query, name)[0]), self.version_of(name, source.package.digest)
        self._database.do(
            "INSERT INTO revisions (package, number, digest, revision, source, version) VALUES (?,?,?,?,?,?)",
            name, number, revision.digest, _json(revision), _json(source), version,
        )  # fmt: skip
        return number, version

    def replace(self, name: str, package: Package, settings: Settings, summary: Summary) -> None:
        """Another content and settings under the same name: an upgrade, or the way back. Raises NameTakenError."""
        with self._changing(name):
            self._require(name)
            other = self._database.one("SELECT name FROM packages WHERE digest = ? AND name != ?", package.digest, name)
            if other:
                raise NameTakenError(f"the same content is there as {other[0]!r}", do="use that package")
            self._database.do(
                "UPDATE packages SET digest = ?, package = ?, settings = ?, summary = ? WHERE name = ?",
                package.digest, _json(replace(package, name=name)), _json(settings), _json(summary), name,
            )  # fmt: skip

    def prune(self, name: str, keep: int) -> list[int]:
        """Forget all but the newest `keep` revisions and the current one; which."""
        with self._database.transaction():
            history = self.history(name)
            old = [each.number for each in history[keep:] if not each.current]
            for number in old:
                self._database.do("DELETE FROM revisions WHERE package = ? AND number = ?", name, number)
        return old

    def put_axis(self, key: str, axis: BatchAxis) -> None:
        """Keep what was proved."""
        self._database.do("INSERT OR REPLACE INTO axes VALUES (?,?)", key, _json(axis))

    @contextmanager
    def intent(self, operation: str, models: tuple[str, ...]) -> Iterator[None]:
        """Journal that the folders of `models` are about to change; the entry goes when they have.

        After a crash the entry stays, and the manager makes those folders agree with the catalogue.
        """
        entry = self._database.do(
            "INSERT INTO journal (operation, models, started) VALUES (?,?,?)", operation, _json(models), time.time()
        )
        yield
        self.close_intent(entry)

    def open_intents(self) -> list[tuple[int, str, tuple[str, ...]]]:
        """(id, operation, models) of the changes that did not end."""
        rows = self._database.all("SELECT id, operation, models FROM journal ORDER BY id")
        return [(entry, what, self._decoded(models, tuple[str, ...])) for entry, what, models in rows]

    def close_intent(self, entry: int) -> None:
        """What was intended has happened, or was undone."""
        self._database.do("DELETE FROM journal WHERE id = ?", entry)

    # Records beside the database

    @contextmanager
    def _changing(self, *names: str) -> Iterator[None]:
        """One transaction that leaves the records of `names` to be written anew."""
        with self._database.transaction():
            yield
            for name in names:
                self._database.do("INSERT OR IGNORE INTO unrecorded VALUES (?)", name)
        self._keep_records()

    def _keep_records(self) -> None:
        """Bring the record files up to date.

        The change that made them stale is done and stays done; where they cannot be written, they remain noted and
        the next one that opens or changes the catalogue tries again.
        """
        with suppress(StorageError, BusyError):
            if self._database.one("SELECT 1 FROM unrecorded"):
                with self._database.transaction():
                    self._write_records()

    def _write_records(self) -> None:
        """Those that are there before those that are gone: a renamed package never lacks both of its records."""
        folder = self._workspace.records
        query = (
            "SELECT u.name, p.package, p.settings, p.summary, p.canary_of FROM unrecorded u "
            "LEFT JOIN packages p ON p.name = u.name ORDER BY p.name IS NULL"
        )
        for name, package, settings, summary, canary_of in self._database.all(query):
            if package is None:
                records.forget(folder, name)
                continue
            record = records.Imported(
                self._decoded(package, Package), self._decoded(settings, Settings), self._decoded(summary, Summary),
                canary_of,
            )  # fmt: skip
            records.write(folder, record)
        self._database.do("DELETE FROM unrecorded")

    def _decoded(self, content: bytes, type_: type[T]) -> T:
        with plain(self._workspace.database):
            return msgspec.json.decode(content or b"", type=type_)  # rot may have made it NULL


def _chosen(settings: Settings) -> set[str]:
    """The blobs that settings name: what INT8 is calibrated with, and plugins."""
    each = [settings, *(settings.for_stage(stage) for stage in settings.stages)]
    return {digest for one in each for digest in (*one.calibration, *one.plugins)}


def rebuild(workspace: Workspace) -> list[str]:
    """Set a corrupt catalogue aside and make a new one from the packages' records; their names.

    What was published must be published again: revisions are lost, packages and settings are not. The new one is made
    whole before it takes the old one's place; the caller holds the workspace's lock. Raises StorageError.
    """
    made = workspace.database.with_suffix(".new")
    found = list(records.read(workspace.records))
    with plain(workspace.state):
        _move(made, None)
        catalogue = Catalogue(Database(made), workspace)
        for record in found:
            with suppress(NameTakenError):  # a crash in a rename leaves a record under each name
                catalogue.add(record.package, record.settings, record.summary, canary_of=record.canary_of)
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


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
