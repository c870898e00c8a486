"""What a running page has: its workspace, the Triton it talks to, who listens, and what is being done."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from tritonpm.catalogue import Workspace, find
from tritonpm.catalogue.audit import OPEN, Actor
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.context import Context, Progress, Warn, open_context, quiet, unheard
from tritonpm.operations.monitor.watch import Monitor, Ring
from tritonpm.operations.optimize.jobs import JobView, job_view
from tritonpm.triton.connection import Connection
from tritonpm.triton.server import Server, running, supervised, told_to_stop
from tritonpm.web.events import SNAPSHOT, Hub
from tritonpm.web.held import HeldUploads
from tritonpm.web.language import Language
from tritonpm.web.marks import Marks
from tritonpm.web.observed import PERIODS, FigureArchive, FigureHistory, figure_history
from tritonpm.web.tasks import LongTask, LongTasks
from tritonpm.web.uploads import Uploads

_LOOK_EVERY = 0.5  # seconds


def _same(history: FigureHistory, _: Language) -> FigureHistory:
    return history


def _nothing(_: Language) -> dict[str, Any]:
    return {}


log = logging.getLogger("tritonpm.web")


class Site:
    """One page's own. Each request and each task opens the workspace for itself."""

    def __init__(self, workspace: Path | None, server: Connection | str | None, metrics: str | None = None) -> None:
        self.workspace: Workspace = find(workspace)
        self.server, self.root = server, self.workspace.root
        self.hub = Hub()
        self.ring = Ring(Monitor(self.workspace, server, metrics))
        self.archive, self.marks = FigureArchive(), Marks()
        self.tasks = LongTasks(self.hub, self.root)
        self.uploads, self.held = Uploads(), HeldUploads()
        self.actor: Actor | None = None  # None: this process itself

    def asked_by(self, actor: Actor) -> Site:
        """The same as one sees it who asks: what is done by it is done by them."""
        site = copy(self)
        site.actor = actor
        return site

    @contextmanager
    def open(self, progress: Progress = quiet, warn: Warn = unheard) -> Iterator[Context]:
        """The workspace, for as long as the block lasts."""
        with open_context(self.root, server=self.server, progress=progress, warn=warn, actor=self.actor) as context:
            yield context

    def begin(self, kind: str, package: str, work: Callable[[Context], str]) -> LongTask:
        """Do something long in a thread of its own. Raises BusyError."""

        def run(progress: Progress, warn: Warn) -> str:
            with self.open(progress, warn) as context:
                return work(context)

        return self.tasks.start(kind, package, run, by=self.actor.name if self.actor and self.actor.way != OPEN else "")

    async def observe(self) -> None:
        """Keep what the ring takes for an hour and a day, and tell it the pages that look at the monitor."""
        last = 0
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if snapshots := self.ring.snapshots(last):
                last = snapshots[-1].number
                try:
                    loaded = await asyncio.to_thread(self._loaded)
                except Exception:
                    log.exception("looking for what is loaded")  # charts that stand still would be worse
                    continue
                for snapshot in snapshots:
                    self.archive.add(snapshot)
                    self.marks.see(snapshot, loaded, stopped=told_to_stop(self.workspace.server))
                history = figure_history(snapshots, self.marks.since(round(snapshots[0].time.timestamp(), 1)))
                self.hub.publish(SNAPSHOT, partial(_same, history))

    def _loaded(self) -> dict[str, int | None]:
        """The loaded packages with the revision that serves; what was known last where that cannot be read."""
        try:
            with self.open() as context:
                entries = context.catalogue.packages()
        except TritonpmError:
            return dict(self.marks.loaded)
        return {entry.name: entry.proved for entry in entries if entry.status == "loaded"}

    def history(self, minutes: int, after: int = 0) -> FigureHistory:
        """The figures of the last minutes, one of PERIODS; of the shortest those with a number above `after`."""
        marks = self.marks.since(time.time() - 60 * minutes)
        if minutes == PERIODS[0]:
            return figure_history(self.ring.snapshots(after), marks)
        return self.archive.history(minutes, marks)

    async def watch(self) -> None:
        """Tell the pages when the catalogue or the server changes, whoever changes it, and how far the jobs are."""
        watcher, heard = Watcher(self), False
        try:
            while True:
                await asyncio.sleep(_LOOK_EVERY)
                self.held.expire()
                if self.hub.heard:
                    try:
                        await asyncio.to_thread(watcher.look, anew=not heard)
                    except Exception:
                        log.exception("looking for changes")  # a page that is told no more would be worse
                heard = self.hub.heard
        finally:
            watcher.close()


class Watcher:
    """Remembers what was last seen of the catalogue, the jobs and the server, and tells what is new."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.jobs: dict[int, JobView] = {}
        self._connection: sqlite3.Connection | None = None
        self._file = -1
        self._state, self._server = self._current(), self._server_now()

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
        self._connection, self._file = None, -1

    def look(self, *, anew: bool) -> None:
        """Publish what has changed since the last refresh; `anew`: all of it, since a page is there that nobody told.

        What it was drawn from may have changed, and be again what it was at the last look.
        """
        from tritonpm.web.present import job_shown

        state = self._current()
        # That a job has begun stands in the catalogue; how far it is, in a file of its own.
        jobs = self._jobs_now() if anew or self.jobs or state is None or state != self._state else {}
        for number, view in jobs.items():
            if self.jobs.get(number) != view:
                self.site.hub.publish("job", partial(job_shown, view, self.site.root))
        server = self._server_now()
        if anew or server != self._server:
            self.site.hub.publish("server", _nothing)
        if anew or state != self._state or jobs.keys() != self.jobs.keys() or server != self._server:
            self.site.hub.publish("packages", _nothing)
        self._state, self.jobs, self._server = state, jobs, server

    def _jobs_now(self) -> dict[int, JobView]:
        try:
            with self.site.open() as context:
                known = context.catalogue.jobs
                return {job.id: job_view(job, known.last_event(job.id)) for job in known.busy().values()}
        except TritonpmError:  # told to whoever asks for the list; the next look may go well
            return {}

    def _server_now(self) -> tuple[Server | None, bool, str]:
        """The workspace's own server, told by /proc, whether it is supervised, and what the last snapshot says of it.

        A server that somebody else runs, and one that hangs, only the snapshot knows.
        """
        folder, snapshots = self.site.workspace.server, self.site.ring.snapshots()
        own = running(folder) if self.site.server is None else None
        return own, supervised(folder), snapshots[-1].server.state if snapshots else ""

    def _current(self) -> tuple[int, int] | None:
        """Which file the catalogue is, and SQLite's count of what others committed to it; None: it cannot be read.

        `doctor --rebuild-catalogue` puts another file in its place.
        """
        try:
            file = self.site.workspace.database.stat().st_ino
            if self._connection is None or file != self._file:
                self._open(file)
            assert self._connection  # noqa: S101
            return file, int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except (OSError, sqlite3.Error):
            self.close()
            return None

    def _open(self, file: int) -> None:
        self.close()
        place = f"{self.site.workspace.database.as_uri()}?mode=rw"  # which makes none; a reader alone cannot open WAL
        self._connection, self._file = sqlite3.connect(place, uri=True, check_same_thread=False), file
