"""Which revisions of a package served, in the order in which they did; the last one is *proved*.

The stack is the way back: who goes back along it takes its top away, so that the next one goes further back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from tritonpm.catalogue.content import readable
from tritonpm.catalogue.database import WITH_PROVED, Database
from tritonpm.core.types import Package, Revision
from tritonpm.settings.settings import UNPUBLISHED_SETTINGS, Settings, difference, digest_change

APART = "+"  # after the digest of a package that has the content of another one, before what tells them apart
CANARY = f"{APART}canary"


@dataclass(frozen=True)
class Source:
    """What a revision was made of."""

    package: Package
    settings: Settings


@dataclass(frozen=True)
class Proved:
    """The newest revision that served. `source` is None where that is not known or cannot be read."""

    number: int
    revision: Revision
    source: Source | None
    probed: bool  # whether an inference proved it; else it was loaded without one, on somebody's word


class Served:
    """The stacks of one catalogue. What changes one does so in the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stack(self, name: str) -> list[int]:
        """The numbers of a package, the newest first; one that served several times is there several times."""
        rows = self._database.all("SELECT number FROM served WHERE package = ? ORDER BY id DESC", name)
        return [number for (number,) in rows]

    def unprobed(self, name: str) -> set[int]:
        """Those of the stack that were loaded without a probe, when they served last."""
        rows = self._database.all("SELECT number, probed FROM served WHERE package = ? ORDER BY id", name)
        return {number for number, probed in dict(rows).items() if not probed}

    def before(self, name: str) -> int | None:
        """What served before what serves, where that is kept."""
        stack = self.stack(name)
        return next((number for number in stack if number != stack[0]), None)

    def push(self, name: str, number: int, probed: bool) -> None:
        """`number` serves; where it did already, only how it was proved is new."""
        if self.stack(name)[:1] == [number]:
            self._probed(name, probed)
        else:
            self._database.do(
                "INSERT INTO served (package, number, probed, at) VALUES (?,?,?,?)", name, number, probed, time.time()
            )

    def back_to(self, name: str, number: int, probed: bool | None) -> None:
        """`number` serves again: what came after it goes; one that never served is pushed.

        None: it shall serve again, so that how it was proved stays.
        """
        last = "SELECT max(id) FROM served WHERE package = ? AND number = ?"
        self._database.do(f"DELETE FROM served WHERE package = ? AND id > ({last})", name, name, number)  # noqa: S608
        if probed is not None:
            self.push(name, number, probed)

    def clear(self, name: str) -> None:
        """Nothing of it is published any more."""
        self._database.do("DELETE FROM served WHERE package = ?", name)

    def close_gaps(self, name: str) -> None:
        """Where revisions between two equal ones were forgotten, those are one."""
        after = (
            "SELECT a.number FROM served a WHERE a.package = served.package AND a.id > served.id ORDER BY a.id LIMIT 1"
        )
        self._database.do(f"DELETE FROM served WHERE package = ? AND number = ({after})", name)  # noqa: S608

    def _probed(self, name: str, probed: bool) -> None:
        top = "SELECT max(id) FROM served WHERE package = ?"
        self._database.do(f"UPDATE served SET probed = ? WHERE id = ({top})", probed, name)  # noqa: S608

    def note_change(self, name: str) -> None:
        """Note whether what is wanted of a package is other than what was proved."""
        self._database.do("UPDATE packages SET changed = ? WHERE name = ?", bool(self.change(name)), name)

    def change(self, name: str) -> str:
        """What is wanted of a package that was not proved: `device: cpu → gpu`; "" where nothing is, or was proved."""
        row = self._database.one(
            "SELECT p.digest, p.settings, s.id, r.source FROM packages p "  # noqa: S608
            f"{WITH_PROVED} "
            "LEFT JOIN revisions r ON r.package = s.package AND r.number = s.number WHERE p.name = ?",
            name,
        )
        digest, settings, proved, source = row or ("", b"", None, None)
        return "" if proved is None or source is None else _change(digest, settings, source)

    def note_changes(self) -> None:
        """As `note_change`, for every package: an earlier program did not note it."""
        with self._database.transaction():
            for (name,) in self._database.all("SELECT DISTINCT package FROM served"):
                self.note_change(name)


def _change(digest: str, settings: bytes, source: bytes) -> str:
    """Where one of them cannot be read they are not known to be the same."""
    wanted, proved = readable(settings, Settings), readable(source, Source)
    if wanted is None or proved is None:
        return "a record that cannot be read"
    content, before = digest.partition(APART)[0], proved.package.digest
    other = f"content: {digest_change(before, content)}" if content != before else ""
    return ", ".join(filter(None, (other, difference(_published(proved.settings), _published(wanted)))))


def _published(settings: Settings) -> Settings:
    """What of the settings a revision is made of."""
    default = vars(Settings())
    stages = {
        stage: kept
        for stage, own in settings.stages.items()
        if (kept := {key: value for key, value in own.items() if key not in UNPUBLISHED_SETTINGS})
    }
    return replace(settings, stages=stages, **{key: default[key] for key in UNPUBLISHED_SETTINGS})
