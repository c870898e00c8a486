"""What a list shows, read without the plain data of packages and what decodes it.

Scripts ask for a list often: this module and what it imports is all of the catalogue that `tritonpm list` loads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tritonpm.catalogue.database import PROVED, REBUILD, WITH_PROVED, Database, plain
from tritonpm.core.errors import StorageError

if TYPE_CHECKING:
    from typing_extensions import Self

    from tritonpm.catalogue.audit import Audit
    from tritonpm.catalogue.jobs import Job, Jobs
    from tritonpm.catalogue.leases import Leases
    from tritonpm.catalogue.remembered_policy import RememberedPolicy
    from tritonpm.catalogue.workspace import Workspace


@dataclass(frozen=True)
class Summary:
    """What a list shows of a package, kept ready so that a list decodes nothing else."""

    type: str
    stages: tuple[str, ...]
    mode: str
    device: str
    max_batch_size: int
    precision: str
    version: str = ""  # of the package, as its author counts


class Entry(NamedTuple):
    """A row of the list."""

    name: str
    digest: str
    summary: Summary
    status: str
    reason: str
    revision: int | None
    canary_of: str  # the package that it shall take the place of, "" for most
    proved: int | None  # the newest revision that served
    problem: str  # why the last attempt to bring in what is wanted failed
    changed: bool  # whether what is wanted is other than what was proved
    wanted: bool  # whether it shall be loaded
    server: str  # where it is loaded: "" the workspace's own server, else the URL
    probed: bool  # whether an inference proved it; True where none was proved


class Listing:
    """The packages of one workspace, what works on them and who uses them; open it with `open`."""

    def __init__(self, database: Database, workspace: Workspace) -> None:
        self._database, self.workspace = database, workspace

    @cached_property
    def jobs(self) -> Jobs:
        """What is being optimised."""
        from tritonpm.catalogue.jobs import Jobs

        return Jobs(self._database, self.workspace)

    @cached_property
    def leases(self) -> Leases:
        """Who uses what."""
        from tritonpm.catalogue.leases import Leases

        return Leases(self._database)

    @cached_property
    def policy(self) -> RememberedPolicy:
        """What the policy required when it was last in force."""
        from tritonpm.catalogue.remembered_policy import RememberedPolicy

        return RememberedPolicy(self._database, self.workspace)

    @cached_property
    def audit(self) -> Audit:
        """Who did what."""
        from tritonpm.catalogue.audit import Audit

        return Audit(self._database)

    @classmethod
    def open(cls, workspace: Workspace) -> Self:
        """Open, and bring to this program's schema. Raises StorageError (lost, corrupt, unreadable, newer), BusyError.

        A lost file is not the same as a fresh workspace: an empty catalogue would let the next removal collect the
        blobs of every package.
        """
        with plain(workspace.database):
            lost = not workspace.database.exists() or workspace.database.stat().st_size == 0
            if lost and (any(workspace.records.glob("*.json")) or os.path.lexists(workspace.remembered_policy)):
                raise StorageError("is lost, but its records are there", where=str(workspace.database), do=REBUILD)
        database = Database(workspace.database)
        if 0 < database.came_from < PROVED:
            from tritonpm.catalogue.served import Served

            Served(database).note_changes()
        return cls(database, workspace)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def packages(self) -> list[Entry]:
        """Every package, by name; of one that cannot be read, its problem says so."""
        rows = self._database.all(
            "SELECT p.name, p.digest, p.summary, p.status, p.reason, p.revision, p.canary_of, s.number, p.problem, "  # noqa: S608
            "p.changed, p.wanted, p.server, coalesce(s.probed, 1) FROM packages p "
            f"{WITH_PROVED} ORDER BY p.name"
        )
        return [_entry(*row) for row in rows]

    def change(self, name: str) -> str:
        """What is wanted of a package that was not proved, in words. It decodes both: ask where `changed` says so."""
        from tritonpm.catalogue.served import Served

        return Served(self._database).change(name)

    def busy(self) -> Mapping[str, Job]:
        """The running jobs, by package."""
        return self.jobs.busy() if self._database.one("SELECT 1 FROM jobs WHERE state = 'running'") else {}

    def users(self) -> Mapping[str, tuple[str, ...]]:
        """The projects that use each package."""
        return self.leases.users() if self._database.one("SELECT 1 FROM leases") else {}


def _entry(
    name: str, digest: str, summary: bytes, status: str, reason: str, revision: int | None, canary_of: str,
    proved: int | None, problem: str, changed: int, wanted: int, server: str, probed: int,
) -> Entry:  # fmt: skip
    shown = _summary(summary)
    if shown is None:
        shown, problem = (
            Summary("", (), "", "", 0, ""),
            f"its record cannot be read: `tritonpm remove {name}`, and import it again",
        )
    return Entry(
        name,
        digest,
        shown,
        status,
        reason,
        revision,
        canary_of,
        proved,
        problem,
        bool(changed),
        bool(wanted),
        server,
        bool(probed),
    )


def _summary(content: bytes) -> Summary | None:
    """None where it is rotten."""
    try:
        summary = json.loads(content or b"")
        return Summary(**{**summary, "stages": tuple(summary["stages"])})
    except (ValueError, KeyError, TypeError):
        return None
