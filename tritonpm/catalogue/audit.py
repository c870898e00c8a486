"""Who did what, when and from where, and how it ended: two tables that are only added to, and cut at their old end.

A row of `audit` is there before anything is done, one of `outcomes` once it has ended: what was killed in between has
the first alone. The tables have no foreign key to packages: what was done to one stays known when it is gone.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.roles import Role

if TYPE_CHECKING:
    from tritonpm.catalogue.database import Database

BEGUN, DONE, FAILED, REFUSED = "begun", "done", "failed", "refused"
TOKEN_ADDED = "token add"  # noqa: S105 an action
USER, TOKEN, OIDC, OPEN = "user", "token", "oidc", "open"
KEPT = 100_000  # entries, some 30 MB
KEPT_REFUSALS = 10_000  # of those: nobody drives out of the record what was done by what they are refused
_CUT = 1000  # entries after which the oldest go
_LONGEST = 500  # characters of a text: what is written comes from outside
_TABLES = ("audit", "outcomes")
_SELECTED = f"""
SELECT a.id, a.at, a.who, a.role, a.way, a.origin, a.action, coalesce(nullif(a.package, ''), o.package, ''), a.detail,
  coalesce(o.outcome, '{BEGUN}'), coalesce(o.reason, ''), coalesce(o.at, 0)
FROM audit a LEFT JOIN outcomes o ON o.id = a.id
"""  # noqa: S608
_REFUSALS = f"id IN (SELECT id FROM outcomes WHERE outcome = '{REFUSED}')"  # noqa: S608
_OF_PACKAGE = "a.id IN (SELECT id FROM audit WHERE package = ? UNION SELECT id FROM outcomes WHERE package = ?)"


@dataclass(frozen=True)
class Actor:
    """Who does something. `way`: how it is known who that is.

    A user of this machine's, a token, an account of an OpenID provider, or open: whoever reaches a page on loopback.
    `origin` is the machine that a command runs on, or the address that a request comes from.
    """

    name: str
    role: Role
    way: str
    origin: str


def this_user() -> Actor:
    """Who runs this process, as the operating system knows them."""
    import os
    import pwd
    import socket

    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in a container, where nobody gave the number a name
        name = f"uid {os.geteuid()}"
    return Actor(name, Role.ADMINISTER, USER, socket.gethostname())


@dataclass(frozen=True)
class AuditEntry:
    """What somebody did; `outcome` is begun, done, failed or refused, `ended` 0 where it has not. Times are Unix's."""

    id: int
    at: float
    who: str
    role: str
    way: str
    origin: str
    action: str
    package: str
    detail: str
    outcome: str
    reason: str
    ended: float


class Audit:
    """The record of one workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.busy = False  # whether something is being done through this catalogue: what it consists of is no other

    def begin(self, actor: Actor, action: str, package: str, detail: str = "") -> int:
        """Record that something begins; its number. Raises StorageError, BusyError."""
        texts = (actor.name, actor.role.value, actor.way, actor.origin, action, package, detail)
        number = self._database.do(
            "INSERT INTO audit (at, who, role, way, origin, action, package, detail) VALUES (?,?,?,?,?,?,?,?)",
            time.time(), *map(_kept, texts),
        )  # fmt: skip
        if number % _CUT == 0:
            self._cut()
        return number

    def _cut(self) -> None:
        """Delete what is too old: of what was refused first, then of all but what is asked for ever after."""
        for which, most in ((_REFUSALS, KEPT_REFUSALS), (f"action != '{TOKEN_ADDED}'", KEPT)):
            oldest = f"SELECT id FROM audit WHERE {which} ORDER BY id DESC LIMIT 1 OFFSET ?"  # noqa: S608
            self._database.do(f"DELETE FROM audit WHERE {which} AND id <= ({oldest})", most)  # noqa: S608
        self._database.do("DELETE FROM outcomes WHERE id NOT IN (SELECT id FROM audit)")

    def end(self, number: int, outcome: str, reason: str = "", package: str = "") -> None:
        """Record how it ended; `package` where it was not known before. Raises StorageError, BusyError."""
        self._database.do(
            "INSERT INTO outcomes (id, at, outcome, reason, package) VALUES (?,?,?,?,?)",
            number, time.time(), outcome, _kept(reason), _kept(package),
        )  # fmt: skip

    def tokens_were_made(self) -> bool:
        """Whether anybody ever made a token in the workspace's own file, and not in one that they named."""
        found = self._database.one(
            "SELECT 1 FROM audit a JOIN outcomes o ON o.id = a.id "
            "WHERE a.action = ? AND o.outcome = ? AND a.detail NOT LIKE '%file=%' LIMIT 1",
            TOKEN_ADDED, DONE,
        )  # fmt: skip
        return found is not None

    def page(self, page: int, size: int, *, package: str = "", who: str = "") -> tuple[list[AuditEntry], int]:
        """A page of what was done, the newest first, and how much there is; of a package, by somebody, where named."""
        asked: dict[str, tuple[str, ...]] = {_OF_PACKAGE: (package, package)} if package else {}
        asked |= {"a.who = ?": (who,)} if who else {}
        where, values = " AND ".join(asked) or "1", [value for values in asked.values() for value in values]
        total = self._database.one(f"SELECT count(*) FROM audit a WHERE {where}", *values)[0]  # noqa: S608
        limits = (size, (page - 1) * size)
        rows = self._database.all(f"{_SELECTED} WHERE {where} ORDER BY a.id DESC LIMIT ? OFFSET ?", *values, *limits)
        return [AuditEntry(*row) for row in rows], int(total)

    def restore(self, lost: Path) -> None:
        """Into a new catalogue, what can be read of the one that is lost."""
        if not lost.is_file():
            return
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"{lost.absolute().as_uri()}?mode=ro", uri=True)) as old:
            for table in _TABLES:
                for row in old.execute(f"SELECT * FROM {table}"):  # noqa: S608
                    places = ",".join("?" * len(row))
                    self._database.do(f"INSERT OR IGNORE INTO {table} VALUES ({places})", *row)  # noqa: S608


def _kept(text: str) -> str:
    """A text as it is kept: one line, not too long, and of no half characters, which a command line may hold."""
    return " ".join(text[:_LONGEST].split()).encode("utf-8", "backslashreplace").decode()
