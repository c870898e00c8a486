"""What the workspace knows and promised: packages, settings, revisions, proofs, and the journal of open changes.

What a change leaves to be done on the disk is noted in its own transaction: folders in `journal`, record files in
`unrecorded`. A crash, or a full disk, delays them; it cannot lose them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tritonpm.catalogue import records
from tritonpm.catalogue.artefacts import Artefacts
from tritonpm.catalogue.content import encode, encoded, readable
from tritonpm.catalogue.database import WITH_PROVED, Database
from tritonpm.catalogue.listing import Summary
from tritonpm.catalogue.references import References
from tritonpm.catalogue.revisions import Revisions
from tritonpm.catalogue.served import APART, CANARY
from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import BusyError, NameTakenError, SameContentError, StorageError
from tritonpm.core.types import BatchAxis, Package
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from typing_extensions import Self


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


class Catalogue(Revisions):
    """The catalogue of one workspace; open it with `Catalogue.open`."""

    def __init__(self, database: Database, workspace: Workspace) -> None:
        super().__init__(database, workspace)
        self.artefacts = Artefacts(database)
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
            "SELECT p.package, p.settings, p.summary, p.status, p.reason, p.wanted, p.revision, p.canary_of, s.number, "  # noqa: S608
            "coalesce(s.probed, 1), p.problem, p.changed, p.server FROM packages p "
            f"{WITH_PROVED} WHERE p.name = ?",
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

    def require_free(self, name: str, digest: str = "") -> None:
        """Raises NameTakenError where the name, or the same content under another name, is there already."""
        if self._database.one("SELECT 1 FROM packages WHERE name = ?", name):
            do = f"give another --name, or put it in its place with `tritonpm upgrade {name}`"
            raise NameTakenError(f"the name {name!r} is taken", existing=name, do=do)
        if digest and (same := self._database.one("SELECT name FROM packages WHERE digest = ?", digest)):
            do = f"use it, or `tritonpm rename {same[0]} {name}`"
            raise SameContentError(f"the same content is there as {same[0]!r}", existing=same[0], do=do)

    def require_content(self, name: str, digest: str) -> None:
        """Raises SameContentError where a package would get the content of another one; what it has it keeps."""
        if self._content(name).partition(APART)[0] == digest:
            return
        if other := self._database.one("SELECT name FROM packages WHERE digest = ? AND name != ?", digest, name):
            do = "use that package"
            raise SameContentError(f"the same content is there as {other[0]!r}", existing=other[0], do=do)

    def of_content(self, digest: str) -> tuple[str, ...]:
        """The packages of that content, canaries apart."""
        rows = self._database.all("SELECT name FROM packages WHERE digest = ? AND canary_of = '' ORDER BY name", digest)
        return tuple(name for (name,) in rows)

    def _content(self, name: str) -> str:
        row = self._database.one("SELECT digest FROM packages WHERE name = ?", name)
        return str(row[0]) if row else ""

    def memory_at_load(self, device: str) -> dict[str, int]:
        """Bytes that what serves of each package took on a device when it was loaded, as far as that is known."""
        rows = self._database.all(
            f"SELECT p.name, m.bytes FROM packages p {WITH_PROVED} "  # noqa: S608
            "JOIN revisions r ON r.package = s.package AND r.number = s.number "
            "JOIN memory m ON m.digest = r.digest AND m.device = ? WHERE p.status = 'loaded'",
            device,
        )
        return dict(rows)

    def wanted(self) -> list[str]:
        """The packages that shall be loaded whenever a server runs."""
        return [name for (name,) in self._database.all("SELECT name FROM packages WHERE wanted ORDER BY name")]

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

    def add(
        self, package: Package, settings: Settings, summary: Summary, *, canary_of: str = "", again: bool = False
    ) -> None:
        """A new package; a canary may have the content of the one that it is of, and one that comes `again` of any.

        Raises NameTakenError.
        """
        digest = f"{package.digest}{CANARY}" if canary_of else package.digest
        with self._changing(package.name):
            if again and self._database.one("SELECT 1 FROM packages WHERE digest = ?", digest):
                digest += f"{APART}{package.name}"
            self.require_free(package.name, digest)
            self._database.do(
                "INSERT INTO packages (name, digest, package, settings, summary, status, imported, canary_of) "
                "VALUES (?,?,?,?,?,'imported',?,?)",
                package.name, digest, *encoded(package.name, package, settings, summary), time.time(), canary_of,
            )  # fmt: skip

    def set_settings(self, name: str, settings: Settings, summary: Summary) -> None:
        """Other settings for a package. Raises NotFoundError, RuleError where a number is not finite."""
        with self._changing(name):
            self.require(name)
            self._database.do(
                "UPDATE packages SET settings = ?, summary = ?, problem = '' WHERE name = ?",
                *encoded(name, settings, summary), name,
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

    def rename(self, name: str, new_name: str) -> None:
        """Another name; what was published under the old one is neither current nor proved. What was wanted still is.

        Raises NameTakenError, NotFoundError.
        """
        with self._changing(new_name, name):
            self.require_free(new_name)
            renamed = replace(self.get(name).package, name=new_name)
            self._served.clear(name)
            self._database.do(
                "UPDATE packages SET name = ?, package = ?, revision = NULL, status = 'imported', reason = '', "
                "problem = '', changed = 0 WHERE name = ?",
                new_name, encode(renamed), name,
            )  # fmt: skip

    def remove(self, name: str) -> None:
        """Forget a package, if it is there."""
        with self._changing(name):
            self._database.do("DELETE FROM packages WHERE name = ?", name)

    def replace(self, name: str, package: Package, settings: Settings, summary: Summary) -> None:
        """Another content and settings under the same name: an upgrade, or the way back. Raises NameTakenError."""
        with self._changing(name):
            self.require(name)
            self.require_content(name, package.digest)
            kept = self._content(name)  # with what tells it apart from another package of the same content
            digest = kept if kept.partition(APART)[0] == package.digest else package.digest
            self._database.do(
                "UPDATE packages SET digest = ?, package = ?, settings = ?, summary = ?, problem = '' WHERE name = ?",
                digest, *encoded(name, replace(package, name=name), settings, summary), name,
            )  # fmt: skip
            self._served.note_change(name)

    def put_axis(self, key: str, axis: BatchAxis) -> None:
        """Keep what was proved."""
        self._database.do("INSERT OR REPLACE INTO axes VALUES (?,?)", key, encode(axis))

    @contextmanager
    def intent(self, operation: str, models: tuple[str, ...]) -> Iterator[None]:
        """Journal that the folders of `models` are about to change; the entry goes when they have.

        After a crash the entry stays, and the next opening makes those folders agree with the catalogue.
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
        folder = self.workspace.records
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
