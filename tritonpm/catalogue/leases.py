"""Who uses which package: a lease for each project, which runs out where nobody renews it.

Time is counted by a clock that no one can set, from the machine's start on: a lease of before a reboot has run out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tritonpm.catalogue.database import Database
from tritonpm.core.errors import UsageError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DECLARED = " declared"  # the holder of what tritonpm.yaml says: it does not run out
LONGEST = 7 * 24 * 3600.0  # seconds: who wants more renews


@dataclass(frozen=True)
class Lease:
    """A project's use of a package; `left` is how many seconds it lasts unless it is renewed."""

    package: str
    project: str
    ttl: float
    left: float


def require_project(project: str) -> None:
    """Raise UsageError for what is not a name for a project."""
    if not project.strip() or len(project) > 200 or not project.isprintable():
        raise UsageError(
            f"{project[:200]!r} is not a name for a project", do="use letters, digits and printable characters"
        )


class Leases:
    """The leases of one workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, package: str, project: str, ttl: float, holder: str = "") -> Lease:
        """Take or renew a lease for `ttl` seconds; each `holder` has its own. Raises UsageError."""
        if not 0 < ttl <= LONGEST:
            raise UsageError(f"a lease lasts more than 0 and up to {LONGEST:g} s, not {ttl:g}", do="renew it instead")
        require_project(project)
        self._database.do(
            "INSERT INTO leases (package, project, holder, ttl, renewed, boot) VALUES (?,?,?,?,?,?) "
            "ON CONFLICT (package, project, holder) "
            "DO UPDATE SET ttl = excluded.ttl, renewed = excluded.renewed, boot = excluded.boot",
            package, project, holder, ttl, now(), boot(),
        )  # fmt: skip
        return Lease(package, project, ttl, ttl)

    def declare(self, package: str, projects: Iterable[str]) -> None:
        """These projects, and no others that were declared, use a package for as long as nobody says otherwise."""
        with self._database.transaction():
            self._database.do("DELETE FROM leases WHERE package = ? AND holder = ?", package, _DECLARED)
            for project in projects:
                self.take(package, project, LONGEST, _DECLARED)

    def declared(self, package: str) -> tuple[str, ...]:
        """The projects that were declared to use a package."""
        rows = self._database.all(
            "SELECT project FROM leases WHERE package = ? AND holder = ? ORDER BY project", package, _DECLARED
        )
        return tuple(project for (project,) in rows)

    def release(self, package: str, project: str, holder: str = "") -> bool:
        """Give a lease back; whether there was one."""
        same = (package, project, holder)
        there = self._database.one("SELECT 1 FROM leases WHERE package = ? AND project = ? AND holder = ?", *same)
        self._database.do("DELETE FROM leases WHERE package = ? AND project = ? AND holder = ?", *same)
        return there is not None

    def live(self, package: str | None = None) -> list[Lease]:
        """The leases that have not run out, by package and project."""
        rows = self._database.all(
            "SELECT package, project, ttl, renewed, holder FROM leases WHERE boot = ? OR holder = ? "
            "ORDER BY package, project",
            boot(), _DECLARED,
        )  # fmt: skip
        present = now()
        leases = [
            Lease(name, project, ttl, ttl if holder == _DECLARED else renewed + ttl - present)
            for name, project, ttl, renewed, holder in rows
        ]
        return [lease for lease in leases if lease.left > 0 and package in (None, lease.package)]

    def users(self) -> dict[str, tuple[str, ...]]:
        """The projects that use each package."""
        projects: dict[str, tuple[str, ...]] = {}
        for lease in self.live():
            known = projects.get(lease.package, ())
            projects[lease.package] = known if lease.project in known else (*known, lease.project)
        return projects


def now() -> float:
    """Seconds since the machine started, sleep included where the system tells."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def boot() -> str:
    """Which start of the machine this is."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
