"""What the machine, the GPUs, the server and each package do right now, and what they did in the last minutes."""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timezone
from threading import Event, Lock, Thread

from tritonpm.catalogue import Catalogue
from tritonpm.core.errors import BusyError, ServerError, StorageError, UsageError
from tritonpm.hardware.load import machine_use
from tritonpm.hardware.nvml import Nvml
from tritonpm.operations.monitor.snapshot import Look, ServerLoad, Snapshot, compose
from tritonpm.operations.serving import Serving
from tritonpm.triton import embedded
from tritonpm.triton.client import Client, Connection
from tritonpm.triton.ensembles import members_of
from tritonpm.triton.metrics import endpoint, scrape
from tritonpm.triton.processes import processes
from tritonpm.triton.statistics import ServerCounters, by_statistics

INTERVAL = 2.0  # seconds between two samples
MINUTES = 15.0  # that a ring remembers
_TIMEOUT = 10.0  # seconds in which a server must answer: one that hangs never does, a busy machine is slow


class Monitor:
    """Takes snapshots, for one thread. Rates are over the time since its last one: the first snapshot has none.

    `metrics` is the host:port of the metrics endpoint of a server that somebody else runs. Raises UsageError where it
    is none, or no such server was named.
    """

    def __init__(self, serving: Serving, metrics: str | None = None) -> None:
        if metrics and serving.manager.server is None:
            raise UsageError("a metrics endpoint is named only of a server that --server names", where="--metrics")
        if metrics:
            endpoint(metrics)
        self.serving, self.metrics = serving, metrics
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
        named = Connection.to(self.serving.manager.server)
        own = embedded.running(self.serving.state) if named is None else None
        used = processes(own) if own else None
        server, told = self._asked(own, named or (Connection(own.http) if own else None))
        counters = told.counters if told else None
        return Look(time.monotonic(), machine_use(), self._nvml.sample(), server, used, counters, self._members())

    def _members(self) -> dict[str, tuple[str, ...]]:
        """The models behind each loaded cascade; read again where its revision is another.

        The catalogue is opened anew each time, since `doctor` may have put another one in its place; where it cannot
        be read, what was known last holds.
        """
        workspace = self.serving.manager.workspace
        with suppress(BusyError, StorageError), closing(Catalogue.open(workspace)) as catalogue:
            loaded = {(each.name, each.revision) for each in catalogue.packages() if each.status == "loaded"}
            known = {key: found for key, found in self._known.items() if key in loaded}
            self._known = known | {key: members_of(catalogue.revision(key[0])) for key in loaded - known.keys()}
        return {name: found for (name, _), found in self._known.items()}

    def _asked(
        self, own: embedded.Server | None, server: Connection | None
    ) -> tuple[ServerLoad, ServerCounters | None]:
        metrics, pid = (own.metrics, own.pid) if own else (self.metrics, None)
        if server is None:
            return ServerLoad("stopped", reason="no server runs for this workspace"), None
        try:
            told = scrape(metrics, timeout=_TIMEOUT) if metrics else self._counted(server)
        except ServerError as error:
            return ServerLoad("silent", server.url, error.what, pid=pid), None
        return ServerLoad("live", server.url, "", told.source, told.percentiles, pid), told

    def _counted(self, server: Connection) -> ServerCounters:
        with Client.of(replace(server, timeout=_TIMEOUT)) as client:
            return by_statistics(client.statistics())


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
            return [each for each in self._kept if each.number > after]

    def _run(self) -> None:
        with self.monitor:
            while True:
                begun = time.monotonic()
                taken = self.monitor.sample()
                with self._lock:
                    self._kept.append(taken)
                if self._stopping.wait(max(0.0, begun + self.interval - time.monotonic())):
                    return
