"""What the workspace knows and promised: packages, settings, revisions, proofs, and the journal of open changes.

What a change leaves to be done on the disk is noted in its own transaction: folders in `journal`, record files in
`unrecorded`. A crash, or a full disk, delays them; it cannot lose them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from tritonpm.catalogue import records
from tritonpm.catalogue.artefacts import Artefacts
from tritonpm.catalogue.content import decode, encode, readable
from tritonpm.catalogue.database import Database
from tritonpm.catalogue.listing import Listing, Summary
from tritonpm.catalogue.references import References
from tritonpm.catalogue.served import Proved, Served, Source
from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import BusyError, NameTakenError, NotFoundError, StorageError
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
    proved: int | None = None  # the newest revision that served
    probed: bool = True  # whether an inference proved it; True where none was proved
    problem: str = ""  # why the last attempt to bring in what is wanted failed
    changed: bool = False  # whether what is wanted is other than what was proved
    server: str = ""  # where it is loaded: "" the workspace's own server, else the URL


@dataclass(frozen=True)
class Published:
    """A revision that is kept; `source` is None where an older tritonpm published it, or it cannot be read."""

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
        self._served = Served(database)
        self._references = References(database, self.artefacts)

    @classmethod
    def open(cls, workspace: Workspace) -> Self:
        """As `Listing.open`, with the record files brought up to date."""
        catalogue = super().open(workspace)
        catalogue._keep_records()
        return catalogue

    # Reading

    def get(self, name: str) -> Record:
        """One package. Raises NotFoundError, with the names that are near."""
        row = self._database.one(
            "SELECT p.package, p.settings, p.summary, p.status, p.reason, p.wanted, p.revision, p.canary_of, s.number, "
            "coalesce(s.probed, 1), p.problem, p.changed, p.server FROM packages p "
            "LEFT JOIN served s ON s.id = (SELECT max(id) FROM served WHERE package = p.name) WHERE p.name = ?",
            name,
        )
        if row is None:
            raise self._unknown(name)
        package, settings, summary, status, reason, wanted, revision, canary_of = row[:8]
        proved, probed, problem, changed, server = row[8:]
        return Record(
            self._decoded(package, Package, name), self._decoded(settings, Settings, name),
            self._decoded(summary, Summary, name), status, reason, bool(wanted), revision, canary_of,
            proved, bool(probed), problem, bool(changed), server,
        )  # fmt: skip

    def require(self, name: str) -> None:
        """Raise NotFoundError where there is no such package; one that cannot be read is there."""
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
        return self._decoded(row[0], Revision, name) if row else None

    def history(self, name: str) -> list[Published]:
        """The revisions of a package that are kept and can be read, the newest first. Raises NotFoundError."""
        self.require(name)
        rows = self._database.all(
            "SELECT r.number, r.revision, r.source, r.published, r.number IS p.revision, r.version FROM revisions r "
            "JOIN packages p ON p.name = r.package WHERE p.name = ? ORDER BY r.number DESC",
            name,
        )
        return [
            Published(number, revision, readable(source, Source) if source else None, published, bool(current), version)
            for number, content, source, published, current, version in rows
            if (revision := readable(content, Revision))
        ]

    def proved(self, name: str) -> Proved | None:
        """The newest revision of a package that served; None where none has. Raises StorageError."""
        row = self._database.one(
            "SELECT s.number, r.revision, r.source, s.probed FROM served s "
            "JOIN revisions r ON r.package = s.package AND r.number = s.number WHERE s.package = ? ORDER BY s.id DESC",
            name,
        )
        if row is None:
            return None
        number, revision, source, probed = row
        made_of = readable(source, Source) if source else None
        return Proved(number, self._decoded(revision, Revision, f"{name}, revision {number}"), made_of, bool(probed))

    def served(self, name: str) -> list[int]:
        """The numbers of the revisions that served, the newest first; the first one is proved."""
        return self._served.stack(name)

    def before(self, name: str) -> int | None:
        """The revision that served before the one that is proved; None where none did, or it was forgotten."""
        return self._served.before(name)

    def version_of(self, name: str, digest: str) -> int:
        """The number of a content among a package's, by the package's digest; the next one where it is new."""
        rows = self._database.all("SELECT version, source FROM revisions WHERE package = ?", name)
        for version, source in rows:
            made_of = readable(source, Source) if source else None
            if made_of and made_of.package.digest == digest:
                return int(version)
        row = self._database.one("SELECT versions FROM packages WHERE name = ?", name)
        return int(row[0]) + 1 if row else 1

    def models_ever(self, name: str) -> set[str]:
        """The model folders of all revisions of a package that can be read, current or not."""
        rows = self._database.all("SELECT revision FROM revisions WHERE package = ?", name)
        found = (readable(row, Revision) for (row,) in rows)
        return {model.name for revision in found if revision for model in revision.models}

    def published(self) -> Iterator[Revision]:
        """The current revision of every package that has one; what cannot be read says `unreadable`."""
        query = "SELECT r.revision FROM revisions r JOIN packages p ON p.name = r.package AND p.revision = r.number"
        for (content,) in self._database.all(query):
            if revision := readable(content, Revision):
                yield revision

    def holding(self, models: Iterable[str]) -> Iterator[Revision]:
        """The current revisions that have one of `models`; only what may have one is decoded.

        Raises StorageError where one that may have one cannot be read.
        """
        wanted = set(models)
        query = (
            "SELECT r.package, r.revision FROM revisions r "
            "JOIN packages p ON p.name = r.package AND p.revision = r.number "
            "WHERE EXISTS (SELECT 1 FROM json_each(?) m WHERE instr(r.revision, m.value))"
        )
        names = encode([encode(name).decode() for name in sorted(wanted)]).decode()
        for package, content in self._database.all(query, names):
            revision = self._decoded(content, Revision, package)
            if wanted & {model.name for model in revision.models}:
                yield revision

    def referenced_blobs(self, *, lenient: bool = False) -> set[str]:
        """The digests that a package, a revision or a proof refers to.

        Raises StorageError where one cannot be read. `lenient` leaves that out, for who deletes nothing.
        """
        return self._references.blobs(lenient=lenient)

    def unreadable(self) -> list[tuple[str, str]]:
        """(package, why) for each record that cannot be read; everything of the catalogue is decoded."""
        return self._references.unreadable()

    def axis(self, key: str) -> BatchAxis | None:
        """What was proved of a model's batch axis; what cannot be read is proved anew."""
        row = self._database.one("SELECT axis FROM axes WHERE key = ?", key)
        return readable(row[0], BatchAxis) if row else None

    # Changing

    def add(self, package: Package, settings: Settings, summary: Summary, *, canary_of: str = "") -> None:
        """A new package; a canary may have the content of the one that it is of. Raises NameTakenError."""
        digest = f"{package.digest}{_CANARY}" if canary_of else package.digest
        with self._changing(package.name):
            self.require_free(package.name, digest)
            self._database.do(
                "INSERT INTO packages (name, digest, package, settings, summary, status, imported, canary_of) "
                "VALUES (?,?,?,?,?,'imported',?,?)",
                package.name, digest, *_encoded(package.name, package, settings, summary), time.time(), canary_of,
            )  # fmt: skip

    def set_settings(self, name: str, settings: Settings, summary: Summary) -> None:
        """Other settings for a package. Raises NotFoundError, RuleError where a number is not finite."""
        with self._changing(name):
            self.require(name)
            self._database.do(
                "UPDATE packages SET settings = ?, summary = ?, problem = '' WHERE name = ?",
                *_encoded(name, settings, summary), name,
            )  # fmt: skip
            self._served.note_change(name)

    def set_status(self, name: str, status: str, reason: str = "", *, wanted: bool | None = None) -> None:
        """imported, ready, loaded or failed, with the reason; `wanted`: whether it shall be loaded.

        What shall not be loaded any more is of no server.
        """
        self._database.do(
            "UPDATE packages SET status = ?, reason = ?, wanted = coalesce(?, wanted), "
            "server = CASE WHEN ? THEN server ELSE '' END WHERE name = ?",
            status, reason, wanted, wanted is not False, name,
        )  # fmt: skip

    def set_problem(self, name: str, sentence: str) -> None:
        """Why what is wanted could not be brought in; what was proved stays proved."""
        self._database.do("UPDATE packages SET problem = ? WHERE name = ?", sentence, name)

    def prove(
        self,
        name: str,
        number: int,
        *,
        probed: bool,
        loaded: bool = True,
        server: str = "",
        source: Source | None = None,
    ) -> None:
        """Revision `number` was published, loaded, read back and (`probed`) answered right: it is proved.

        `loaded`: it serves now, on `server`, and shall be loaded from now on. `source`: what it was rendered from just
        now, which may be other settings than those of its first time. A problem is over unless something else is
        wanted. Raises NotFoundError.
        """
        with self._database.transaction():
            self._require_revision(name, number)
            self._served.push(name, number, probed)
            self._note_proof(name, number, source)
            self._note_server(name, loaded, server)

    def go_back(
        self,
        name: str,
        number: int,
        *,
        probed: bool,
        loaded: bool = True,
        server: str = "",
        source: Source | None = None,
    ) -> None:
        """As `prove`, where `number` had served before: what served after it is gone from the stack."""
        with self._database.transaction():
            self._require_revision(name, number)
            self._served.back_to(name, number, probed)
            self._note_proof(name, number, source)
            self._note_server(name, loaded, server)

    def _require_revision(self, name: str, number: int) -> None:
        self.require(name)
        if not self._database.one("SELECT 1 FROM revisions WHERE package = ? AND number = ?", name, number):
            raise NotFoundError(f"{name} has no revision {number}", do=f"`tritonpm history {name}` lists them")

    def _note_proof(self, name: str, number: int, source: Source | None) -> None:
        if source:
            version = self.version_of(name, source.package.digest)
            self._database.do(
                "UPDATE revisions SET source = ?, version = ? WHERE package = ? AND number = ?",
                encode(source, name), version, name, number,
            )  # fmt: skip
            self._database.do("UPDATE packages SET versions = max(versions, ?) WHERE name = ?", version, name)
        self._served.note_change(name)
        self._database.do(
            "UPDATE packages SET reason = '', problem = CASE WHEN changed THEN problem ELSE '' END, "
            "status = CASE WHEN status IN ('imported', 'failed') THEN 'ready' ELSE status END WHERE name = ?",
            name,
        )

    def _note_server(self, name: str, loaded: bool, server: str) -> None:
        if loaded:
            self._database.do(
                "UPDATE packages SET status = 'loaded', wanted = 1, server = ? WHERE name = ?", server, name
            )

    def rename(self, name: str, new_name: str) -> None:
        """Another name; what was published under the old one is neither current nor proved.

        Raises NameTakenError, NotFoundError.
        """
        with self._changing(new_name, name):
            self.require_free(new_name)
            renamed = replace(self.get(name).package, name=new_name)
            self._served.clear(name)
            self._database.do(
                "UPDATE packages SET name = ?, package = ?, revision = NULL, status = 'imported', reason = '', "
                "wanted = 0, problem = '', changed = 0, server = '' WHERE name = ?",
                new_name, encode(renamed), name,
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
            name, number, revision.digest, *_encoded(name, revision, source), version,
        )  # fmt: skip
        return number, version

    def replace(self, name: str, package: Package, settings: Settings, summary: Summary) -> None:
        """Another content and settings under the same name: an upgrade, or the way back. Raises NameTakenError."""
        with self._changing(name):
            self.require(name)
            other = self._database.one("SELECT name FROM packages WHERE digest = ? AND name != ?", package.digest, name)
            if other:
                raise NameTakenError(f"the same content is there as {other[0]!r}", do="use that package")
            self._database.do(
                "UPDATE packages SET digest = ?, package = ?, settings = ?, summary = ?, problem = '' WHERE name = ?",
                package.digest, *_encoded(name, replace(package, name=name), settings, summary), name,
            )  # fmt: skip
            self._served.note_change(name)

    def prune(self, name: str, keep: int) -> list[int]:
        """Forget all but the newest `keep` revisions, the current one and the proved one; which."""
        with self._database.transaction():
            self.require(name)
            kept = {self._database.one("SELECT revision FROM packages WHERE name = ?", name)[0], *self.served(name)[:1]}
            rows = self._database.all("SELECT number FROM revisions WHERE package = ? ORDER BY number DESC", name)
            old = [number for (number,) in rows[keep:] if number not in kept]
            for number in old:
                self._database.do("DELETE FROM revisions WHERE package = ? AND number = ?", name, number)
            self._served.close_gaps(name)
        return old

    def put_axis(self, key: str, axis: BatchAxis) -> None:
        """Keep what was proved."""
        self._database.do("INSERT OR REPLACE INTO axes VALUES (?,?)", key, encode(axis))

    @contextmanager
    def intent(self, operation: str, models: tuple[str, ...]) -> Iterator[None]:
        """Journal that the folders of `models` are about to change; the entry goes when they have.

        After a crash the entry stays, and the manager makes those folders agree with the catalogue.
        """
        entry = self._database.do(
            "INSERT INTO journal (operation, models, started) VALUES (?,?,?)", operation, encode(models), time.time()
        )
        yield
        self.close_intent(entry)

    def open_intents(self) -> list[tuple[int, str, tuple[str, ...]]]:
        """(id, operation, models) of the changes that did not end; where the models cannot be read they are ()."""
        rows = self._database.all("SELECT id, operation, models FROM journal ORDER BY id")
        return [(entry, what, readable(models, tuple[str, ...]) or ()) for entry, what, models in rows]

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
        """Those that are there before those that are gone: a renamed package never lacks both of its records.

        One that cannot be read keeps its old file, and stands in the way of no other.
        """
        folder = self._workspace.records
        query = (
            "SELECT u.name, p.package, p.settings, p.summary, p.canary_of FROM unrecorded u "
            "LEFT JOIN packages p ON p.name = u.name ORDER BY p.name IS NULL"
        )
        for name, package, settings, summary, canary_of in self._database.all(query):
            if package is None:
                records.forget(folder, name)
            else:
                made, chosen, shown = (
                    readable(package, Package),
                    readable(settings, Settings),
                    readable(summary, Summary),
                )
                if made is None or chosen is None or shown is None:
                    continue
                records.write(folder, records.Imported(made, chosen, shown, canary_of))
            self._database.do("DELETE FROM unrecorded WHERE name = ?", name)

    def _decoded(self, content: bytes, type_: type[T], of: str) -> T:
        return decode(content, type_, self._workspace.database, of)


def _encoded(name: str, *records: object) -> list[bytes]:
    """The records of a package as they are kept. Raises RuleError where a number is not finite."""
    return [encode(record, name) for record in records]
