"""The revisions of packages: published, proved, gone back to, forgotten. Each is immutable; one is current."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tritonpm.catalogue.content import decode, encode, encoded, readable
from tritonpm.catalogue.database import WITH_PROVED, Database
from tritonpm.catalogue.listing import Listing
from tritonpm.catalogue.served import Proved, Served, Source
from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import NotFoundError
from tritonpm.core.types import Package, Revision
from tritonpm.settings.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Published:
    """A revision that is kept; `source` is None where an older tritonpm published it, or it cannot be read."""

    number: int
    revision: Revision
    source: Source | None
    published: float  # seconds since the epoch, for a person to read
    current: bool  # whether it serves, or comes back; of what never served: whether it is what is published
    version: int  # the number of its content: 1 for the first, one more for each other content


class Revisions(Listing):
    """A list of packages with their revisions."""

    def __init__(self, database: Database, workspace: Workspace) -> None:
        super().__init__(database, workspace)
        self._served = Served(database)

    def require(self, name: str) -> None:
        """Raise NotFoundError where there is no such package; one that cannot be read is there."""
        if not self._database.one("SELECT 1 FROM packages WHERE name = ?", name):
            raise self._unknown(name)

    def _unknown(self, name: str) -> NotFoundError:
        import difflib

        names = self._database.all("SELECT name FROM packages")
        near = difflib.get_close_matches(name, [known for (known,) in names if known], 1)  # a rotten key may be NULL
        hint = f"did you mean {near[0]!r}?" if near else "`tritonpm list` shows the packages"
        return NotFoundError(f"there is no package {name!r}", where=str(self.workspace.root), do=hint)

    def current(self, name: str) -> int | None:
        """The number of what is published of a package."""
        row = self._database.one("SELECT revision FROM packages WHERE name = ?", name)
        return row[0] if row else None

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
            "SELECT r.number, r.revision, r.source, r.published, r.number IS coalesce(s.number, p.revision), r.version "  # noqa: S608
            f"FROM revisions r JOIN packages p ON p.name = r.package {WITH_PROVED} "
            "WHERE p.name = ? ORDER BY r.number DESC",
            name,
        )
        return [
            Published(number, revision, readable(source, Source), published, bool(current), version)
            for number, content, source, published, current, version in rows
            if (revision := readable(content, Revision))
        ]

    def kept(self, name: str, number: int) -> Published:
        """One of `history`. Raises NotFoundError."""
        for published in self.history(name):
            if published.number == number:
                return published
        raise _no_revision(name, number)

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
        made_of = readable(source, Source)
        return Proved(number, self._decoded(revision, Revision, f"{name}, revision {number}"), made_of, bool(probed))

    def served(self, name: str) -> list[int]:
        """The numbers of the revisions that served, the newest first; the first one is proved."""
        return self._served.stack(name)

    def unprobed(self, name: str) -> set[int]:
        """Those of `served` that no inference proved: they were loaded on somebody's word."""
        return self._served.unprobed(name)

    def before(self, name: str) -> int | None:
        """The revision that served before the one that is proved; None where none did, or it was forgotten."""
        return self._served.before(name)

    def way_back(self, name: str) -> int | None:
        """Where a roll-back goes: to what was proved, where another thing is wanted by now, else to what served before.

        None where nothing served, or it was forgotten.
        """
        row = self._database.one("SELECT changed FROM packages WHERE name = ?", name)
        return next(iter(self.served(name)), None) if row and row[0] else self.before(name)

    def version_of(self, name: str, digest: str) -> int:
        """The number of a content among a package's, by the package's digest; the next one where it is new."""
        rows = self._database.all("SELECT version, source FROM revisions WHERE package = ?", name)
        for version, source in rows:
            made_of = readable(source, Source)
            if made_of and made_of.package.digest == digest:
                return int(version)
        row = self._database.one("SELECT versions FROM packages WHERE name = ?", name)
        return int(row[0]) + 1 if row else 1

    def models_ever(self, name: str) -> set[str]:
        """The model folders of all revisions of a package that can be read, current or not."""
        rows = self._database.all("SELECT revision FROM revisions WHERE package = ?", name)
        revisions = (readable(row, Revision) for (row,) in rows)
        return {model.name for revision in revisions if revision for model in revision.models}

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

    # Changing

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
        probed: bool | None,
        loaded: bool = True,
        server: str = "",
        source: Source | None = None,
    ) -> None:
        """As `prove`, where `number` had served before: what served after it is gone from the stack.

        `probed` None: it is not loaded now, and was proved as it was.
        """
        with self._database.transaction():
            self._require_revision(name, number)
            self._served.back_to(name, number, probed)
            self._note_proof(name, number, source)
            self._note_server(name, loaded, server)

    def _require_revision(self, name: str, number: int) -> None:
        self.require(name)
        if not self._database.one("SELECT 1 FROM revisions WHERE package = ? AND number = ?", name, number):
            raise _no_revision(name, number)

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

    def add_revision(self, name: str, revision: Revision) -> int:
        """Make `revision` the current one of a package; its number. Raises NotFoundError.

        One that is known keeps what it was made of: who goes back to it may have chosen something else by then. It is
        written once more, in case it has rotted: the same digest is the same revision.
        """
        with self._database.transaction():
            self.require(name)
            known = self._database.one(
                "SELECT number, version FROM revisions WHERE package = ? AND digest = ?", name, revision.digest
            )
            number, version = known or self._add_revision(name, revision, self._source(name))
            self._database.do(
                "UPDATE revisions SET revision = ?, published = ? WHERE package = ? AND number = ?",
                encode(revision, name), time.time(), name, number,
            )  # fmt: skip
            self._database.do(
                "UPDATE packages SET revision = ?, versions = max(versions, ?) WHERE name = ?", number, version, name
            )
        return int(number)

    def _source(self, name: str) -> Source:
        """What a package and its settings are now."""
        package, settings = self._database.one("SELECT package, settings FROM packages WHERE name = ?", name)
        return Source(self._decoded(package, Package, name), self._decoded(settings, Settings, name))

    def _add_revision(self, name: str, revision: Revision, source: Source) -> tuple[int, int]:
        """The number and the version that it gets."""
        query = "SELECT coalesce(max(number), 0) + 1 FROM revisions WHERE package = ?"
        number, version = int(self._database.one(query, name)[0]), self.version_of(name, source.package.digest)
        self._database.do(
            "INSERT INTO revisions (package, number, digest, revision, source, version) VALUES (?,?,?,?,?,?)",
            name, number, revision.digest, *encoded(name, revision, source), version,
        )  # fmt: skip
        return number, version

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

    def _decoded(self, content: bytes, type_: type[T], of: str) -> T:
        return decode(content, type_, self.workspace.database, of)


def _no_revision(name: str, number: int) -> NotFoundError:
    return NotFoundError(f"{name} has no revision {number}", do=f"`tritonpm history {name}` lists them")
