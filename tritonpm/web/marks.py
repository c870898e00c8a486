"""What happened to the server and its packages, seen from one snapshot to the next: marks for charts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritonpm.operations.monitor.snapshot import Snapshot

LOAD, SWITCH, UNLOAD = "load", "switch", "unload"
START, STOP, CRASH = "start", "stop", "crash"
_MOST = 1000  # that are kept


@dataclass(frozen=True)
class Mark:
    """Something that happened by `time` (Unix): load, switch or unload of a package; start, stop or crash of Triton."""

    time: float
    kind: str
    package: str = ""


class Marks:
    """The last marks of one page. Only one thread adds."""

    def __init__(self) -> None:
        self._kept: deque[Mark] = deque(maxlen=_MOST)
        self._server: tuple[str, int | None] | None = None
        self.loaded: Mapping[str, int | None] = {}  # as they were seen last

    def since(self, time: float) -> tuple[Mark, ...]:
        """Those from a moment on, the oldest first."""
        return tuple(mark for mark in tuple(self._kept) if mark.time >= time)

    def see(self, snapshot: Snapshot, loaded: Mapping[str, int | None], *, stopped: bool) -> None:
        """What is new in a snapshot: `loaded` are the packages with the revision that serves.

        `stopped`: somebody told the server to stop; one that is gone and was not told has crashed.
        """
        time = round(snapshot.time.timestamp(), 1)
        server = snapshot.server.state, snapshot.server.pid
        if self._server is not None:
            self._kept.extend(Mark(time, kind) for kind in _of_server(self._server, server, stopped=stopped))
            for name in sorted({*loaded, *self.loaded}):
                if kind := _of_package(name, self.loaded, loaded):
                    self._kept.append(Mark(time, kind, name))
        self._server, self.loaded = server, dict(loaded)


def _of_server(before: tuple[str, int | None], now: tuple[str, int | None], *, stopped: bool) -> Iterator[str]:
    """A server that hangs keeps its process; another process is another server."""
    ran, runs = before[0] != "stopped", now[0] != "stopped"
    other = before[1] is not None and now[1] is not None and before[1] != now[1]
    if ran and (not runs or other):
        yield STOP if stopped else CRASH
    if runs and (not ran or other):
        yield START


def _of_package(name: str, before: Mapping[str, int | None], now: Mapping[str, int | None]) -> str:
    if name not in before:
        return LOAD
    if name not in now:
        return UNLOAD
    return SWITCH if before[name] != now[name] else ""
