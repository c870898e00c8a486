"""Long work that a process of its own does: who does it, how far it is, how it ended.

A row says what was promised; JOBS/ID/events.jsonl, which the workers write, says how far it is. A job whose process is
gone without having said how it ended is interrupted: after a crash, a kill or a reboot.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from tritonpm.catalogue.content import decode, encode, readable
from tritonpm.catalogue.database import Database, plain
from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import BusyError, NotFoundError

EVENTS = "events.jsonl"
RUNNING = "running"
_COLUMNS = "id, package, state, reason, created, ended, pid, born, request"
_DEAD = ("Z", "X", "x")


@dataclass(frozen=True)
class Event:
    """How far a job is: `done` of `total` (0: not known) of a step of a stage."""

    stage: str
    step: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Job:
    """One job. `state` is running, done, failed, cancelled or interrupted."""

    id: int
    package: str
    state: str
    reason: str
    created: float  # seconds since the epoch, for a person to read
    ended: float | None
    pid: int | None
    born: float | None  # when that process started, in seconds since the machine did: pids are used again
    request: dict[str, Any]  # in a list {} where it cannot be read

    @property
    def alive(self) -> bool:
        """Whether its process runs; one that was not started yet is given a moment."""
        if self.pid is None or self.born is None:
            return 0 <= time.time() - self.created < 30.0
        return _born(self.pid) == self.born

    def in_the_way(self) -> BusyError:
        """What to tell who would change the package meanwhile."""
        return BusyError(
            f"{self.package} is being optimised by job {self.id}",
            do=f"`tritonpm jobs follow {self.id}` or `tritonpm jobs cancel {self.id}`",
        )


def _born(pid: int) -> float | None:
    """When a process started, in seconds since the machine did: no clock that is set moves it. None: it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in _DEAD else int(fields[19]) / os.sysconf("SC_CLK_TCK")


class Jobs:
    """The jobs of one workspace."""

    def __init__(self, database: Database, workspace: Workspace) -> None:
        self._database, self._workspace = database, workspace

    def folder(self, job: int) -> Path:
        """Where a job's files lie."""
        return self._workspace.jobs / str(job)

    def all(self) -> list[Job]:
        """Every job, the newest first."""
        return [self._job(row) for row in self._database.all(f"SELECT {_COLUMNS} FROM jobs ORDER BY id DESC")]  # noqa: S608

    def get(self, job: int) -> Job:
        """One job. Raises NotFoundError; StorageError where what it was asked for cannot be read."""
        row = self._database.one(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", job)  # noqa: S608
        if row is None:
            raise NotFoundError(f"there is no job {job}", do="`tritonpm jobs` lists them")
        decode(row[-1], dict[str, Any], self._database.path, f"job {job}")
        return self._job(row)

    def running(self, package: str) -> Job | None:
        """The job that works on a package."""
        row = self._database.one(f"SELECT {_COLUMNS} FROM jobs WHERE package = ? AND state = 'running'", package)  # noqa: S608
        job = self._job(row) if row else None
        return job if job and job.state == RUNNING else None

    def busy(self) -> dict[str, Job]:
        """The running jobs, by package."""
        rows = self._database.all(f"SELECT {_COLUMNS} FROM jobs WHERE state = 'running' ORDER BY id DESC")  # noqa: S608
        return {job.package: job for job in map(self._job, rows) if job.state == RUNNING}

    def create(self, package: str, request: dict[str, Any]) -> Job:
        """A job that is about to be started. Raises BusyError where the package has one."""
        with self._database.transaction():
            if job := self.running(package):
                raise job.in_the_way()
            self._database.do("UPDATE jobs SET state = 'interrupted' WHERE package = ? AND state = 'running'", package)
            entry = self._database.do(
                "INSERT INTO jobs (package, state, created, request) VALUES (?, 'running', ?, ?)",
                package, time.time(), encode(request, package),
            )  # fmt: skip
        with plain(self.folder(entry)):
            self.folder(entry).mkdir(parents=True)
        return self.get(entry)

    def owned(self, job: int, pid: int) -> None:
        """The process that does the job."""
        if (born := _born(pid)) is not None:  # else it has ended already, and said how
            self._database.do("UPDATE jobs SET pid = ?, born = ? WHERE id = ?", pid, born, job)

    def end(self, job: int, state: str, reason: str = "") -> None:
        """How a job ended; what was said first stays said."""
        self._database.do(
            "UPDATE jobs SET state = ?, reason = ?, ended = ? WHERE id = ? AND state = 'running'",
            state, reason, time.time(), job,
        )  # fmt: skip

    def events(self, job: int, offset: int = 0) -> Iterator[tuple[Event, int]]:
        """The whole events from byte `offset` on, each with the offset behind it."""
        path = self.folder(job) / EVENTS
        if not path.is_file():
            return
        with path.open("rb") as stream:
            stream.seek(offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                with suppress(msgspec.MsgspecError):  # a worker that was killed may have written half a line
                    yield msgspec.json.decode(line, type=Event), offset

    def report(self, job: int, event: Event) -> None:
        """Say how far a job is."""
        with (self.folder(job) / EVENTS).open("ab") as stream:
            stream.write(msgspec.json.encode(event) + b"\n")

    def last_event(self, job: int) -> Event | None:
        """How far a job is."""
        return next((event for event, _ in reversed(list(self.events(job)))), None)

    def _job(self, row: Any) -> Job:
        *columns, request = row
        job = Job(*(*columns, readable(request, dict[str, Any]) or {}))
        if job.state == RUNNING and not job.alive:
            return replace(job, state="interrupted", reason="its process has ended")
        return job
