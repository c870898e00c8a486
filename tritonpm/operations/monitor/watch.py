"""What the machine, the GPUs, the server and each package do right now, and what they did in the last minutes."""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timezone
from threading import Event, Lock, Thread

from tritonpm.catalogue import Catalogue, Workspace
from tritonpm.core.errors import BusyError, ServerError, StorageError, UsageError
from tritonpm.hardware.machine_use import machine_use
from tritonpm.hardware.nvml import Nvml
from tritonpm.operations.monitor.snapshot import Look, ServerLoad, Snapshot, compose
from tritonpm.triton import compiled, embedded
from tritonpm.triton.client import Client
from tritonpm.triton.connection import Connection
from tritonpm.triton.ensembles import members_of
from tritonpm.triton.metrics import endpoint, scrape
from tritonpm.triton.processes import processes
from tritonpm.triton.statistics import ServerCounters, by_statistics

INTERVAL = 2.0  # seconds between two samples
MINUTES = 15.0  # that a ring remembers
_TIMEOUT = 10.0  # seconds in which a server must answer: one that hangs never does, a busy machine is slow


class Monitor:
    """Takes snapshots, for one thread. Rates are over the time since its last one: the first snapshot has none.

    It lives long, so it holds nothing that may be replaced meanwhile: the catalogue is opened anew for each look.
    `server` is a Triton that somebody else runs, None the workspace's own; `metrics` the host:port of the other one's
    metrics endpoint. Raises UsageError where that is none, or no such server was named.
    """

    def __init__(
        self, workspace: Workspace, server: Connection | str | None = None, metrics: str | None = None
    ) -> None:
        if metrics and server is None:
            raise UsageError("--metrics is only for a server given with --server", where="--metrics")
        if metrics:
            endpoint(metrics)
        self.workspace, self.named, self.metrics = workspace, Connection.to(server), metrics
        self._nvml, self._number = Nvml(), 0
        self._before: Look | None = None
        self._known: dict[tuple[str, int | None], tuple[str, ...]] = {}

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._nvml.close()

    def sample(self) -> Snapshot:
        """What is going on now. A server or a GPU that does not answer is part of the snapshot, not an error."""
        now = self._look()
        before, self._before, self._number = self._before, now, self._number + 1
        return compose(self._number, datetime.now(timezone.utc), before, now)

    def _look(self) -> Look:
        own = embedded.running(self.workspace.server) if self.named is None else None
        used = processes(own) if own else None
        server, answer = self._asked(own, self.named or (Connection(own.http) if own else None))
        counters = answer.counters if answer else None
        kinds = embedded.backends_in(self.workspace.server)
        within = any(kinds.get(name) != "python" for name in compiled.NAMES)
        machine, gpus = machine_use(), self._nvml.sample()
        return Look(time.monotonic(), machine, gpus, server, used, within, counters, self._members())

    def _members(self) -> dict[str, tuple[str, ...]]:
        """The models behind each loaded cascade; read again where another revision serves.

        `doctor` may have put another catalogue in its place; where it cannot be read, what was known last holds.
        """
        with suppress(BusyError, StorageError), closing(Catalogue.open(self.workspace)) as catalogue:
            loaded = {(entry.name, entry.proved) for entry in catalogue.packages() if entry.status == "loaded"}
            known = {key: members for key, members in self._known.items() if key in loaded}
            self._known = known | {key: _members(catalogue, key[0]) for key in loaded - known.keys()}
        return {name: members for (name, _), members in self._known.items()}

    def _asked(
        self, own: embedded.Server | None, server: Connection | None
    ) -> tuple[ServerLoad, ServerCounters | None]:
        metrics, pid = (own.metrics, own.pid) if own else (self.metrics, None)
        if server is None:
            return ServerLoad("stopped", reason="no server is running for this workspace"), None
        try:
            answer = scrape(metrics, timeout=_TIMEOUT) if metrics else self._counted(server)
        except ServerError as error:
            return ServerLoad("silent", server.url, error.what, pid=pid), None
        return ServerLoad("live", server.url, "", answer.source, answer.percentiles, pid), answer

    def _counted(self, server: Connection) -> ServerCounters:
        with Client.of(replace(server, timeout=_TIMEOUT)) as client:
            return by_statistics(client.statistics())


def _members(catalogue: Catalogue, name: str) -> tuple[str, ...]:
    proved = catalogue.proved(name)
    return members_of(proved.revision if proved else None)


class Ring:
    """The last snapshots of a monitor, taken by a thread of its own from `start` to `stop`."""

    def __init__(self, monitor: Monitor, *, interval: float = INTERVAL, minutes: float = MINUTES) -> None:
        self.monitor, self.interval = monitor, interval
        self._kept: deque[Snapshot] = deque(maxlen=max(1, round(minutes * 60 / interval)))
        self._lock, self._stopping = Lock(), Event()
        self._thread = Thread(target=self._run, name="tritonpm-monitor", daemon=True)

    def __enter__(self) -> Ring:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to take snapshots."""
        self._thread.start()

    def stop(self, timeout: float = 30.0) -> None:
        """Take none any more; return when the thread has ended, or at the deadline. What was taken stays."""
        self._stopping.set()
        self._thread.join(timeout)

    def snapshots(self, after: int = 0) -> list[Snapshot]:
        """Those with a number above `after`, the oldest first. Raises RuntimeError where the thread has died."""
        if not (self._thread.is_alive() or self._stopping.is_set()):
            raise RuntimeError("no snapshots are taken: the ring was not started, or standard error says why it ended")
        with self._lock:
            return [snapshot for snapshot in self._kept if snapshot.number > after]

    def _run(self) -> None:
        with self.monitor:
            while True:
                begun = time.monotonic()
                snapshot = self.monitor.sample()
                with self._lock:
                    self._kept.append(snapshot)
                if self._stopping.wait(max(0.0, begun + self.interval - time.monotonic())):
                    return
