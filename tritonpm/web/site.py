"""What a running page has: its workspace, the Triton it talks to, who listens, and what is being done."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tritonpm.catalogue import Catalogue, Workspace, find
from tritonpm.errors import TritonpmError
from tritonpm.manager import Manager, Progress, quiet
from tritonpm.serving import Serving
from tritonpm.views import JobView, job_view
from tritonpm.web.events import Hub
from tritonpm.web.operations import Operation, Operations

_LOOK_EVERY = 0.5  # seconds


class Site:
    """One page's own. Each request and each operation has a manager of its own."""

    def __init__(self, workspace: Path | None, server: str | None) -> None:
        self.workspace: Workspace = find(workspace)
        self.server, self.root = server, self.workspace.root
        self.hub = Hub()
        self.operations = Operations(self.hub, self.root)
        self.uploading = 0  # files that are coming in; only the loop counts

    @contextmanager
    def manager(self, progress: Progress = quiet) -> Iterator[Manager]:
        """A manager for as long as the block lasts."""
        manager = Manager(self.workspace, server=self.server, progress=progress)
        try:
            yield manager
        finally:
            catalogue = manager.__dict__.get("catalogue")
            if isinstance(catalogue, Catalogue):
                catalogue.close()

    @contextmanager
    def serving(self, progress: Progress = quiet) -> Iterator[Serving]:
        """The server side of such a manager."""
        with self.manager(progress) as manager:
            yield Serving(manager)

    def operate(self, kind: str, package: str, work: Callable[[Serving], str]) -> Operation:
        """Do something long in a thread of its own. Raises BusyError."""

        def run(progress: Progress) -> str:
            with self.serving(progress) as serving:
                return work(serving)

        return self.operations.start(kind, package, run)

    async def watch(self) -> None:
        """Tell the pages when the catalogue changes, whoever changes it, and how far the jobs are."""
        seen = Seen(self)
        try:
            while True:
                await asyncio.sleep(_LOOK_EVERY)
                if self.hub.heard:
                    await asyncio.to_thread(seen.look)
        finally:
            seen.close()


class Seen:
    """What was last seen of the catalogue and the jobs."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.jobs: dict[int, JobView] = {}
        place = f"{site.workspace.database.as_uri()}?mode=rw"  # which makes none; a reader alone cannot open WAL
        self._connection = sqlite3.connect(place, uri=True, check_same_thread=False)
        self._version = self._current()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def look(self) -> None:
        """Publish what has changed since the last look."""
        from tritonpm.web.present import job_shown

        version = self._current()
        try:
            with self.site.manager() as manager:
                known = manager.catalogue.jobs
                jobs = {job.id: job_view(job, known.last_event(job.id)) for job in known.busy().values()}
        except TritonpmError:  # told to whoever asks for the list; the next look may go well
            return
        for number, view in jobs.items():
            if self.jobs.get(number) != view:
                self.site.hub.publish("job", job_shown(view, self.site.root))
        if version != self._version or jobs.keys() != self.jobs.keys():
            self.site.hub.publish("packages", {})
        self._version, self.jobs = version, jobs

    def _current(self) -> int:
        """SQLite's count of what other connections have committed."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
