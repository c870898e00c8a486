"""The processes of a server that we run: itself, and the stub of each model instance of a Python-based backend."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import psutil

from tritonpm.triton import liveness
from tritonpm.triton.process_table import children, command_of
from tritonpm.triton.server import Server


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What a process has used: processor seconds since its start, bytes. `model` is "" for the server itself."""

    pid: int
    created: float  # its start time: a pid alone may be used again
    model: str
    cpu: float
    resident: int
    unique: int | None  # what would be free without it; None where we may not look

    @property
    def taken(self) -> int:
        """Bytes that would be free without it, as well as they are known."""
        return self.resident if self.unique is None else self.unique


def processes(server: Server) -> list[ProcessUse]:
    """The server's processes now; one that ends meanwhile is left out."""
    if not server.alive:
        return []
    uses = []
    with suppress(psutil.NoSuchProcess):
        main = psutil.Process(server.pid)
        for process in (main, *main.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                model = "" if process.pid == server.pid else model_of(process.cmdline(), server)
                if model is not None:
                    uses.append(_use(process, model))
    return uses


def own_memory(server: Server) -> int:
    """Bytes that the process of a server takes, its stubs apart; 0 where it has ended."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return _use(psutil.Process(server.pid), "").taken if server.alive else 0
    return 0


def stubs(server: Server, known: Mapping[int, str] = MappingProxyType({})) -> dict[int, str]:
    """The stubs of a server that can answer, by number: the model that each serves, where that is not `known` yet."""
    found = {}
    for pid in children(server.pid):
        model = known.get(pid) or model_of(command_of(pid), server)
        if model and not liveness.why_not_running(pid):
            found[pid] = model
    return found


def model_of(command: list[str], server: Server) -> str | None:
    """The model that a stub with this command line serves; None where it is no stub of this server.

    A stub is told REPOSITORY/MODEL/VERSION/FILE, then its region of shared memory; the repository lies in the server's
    folder, and is told relative to it or not.
    """
    folder = Path(server.log).parent.absolute()
    for path, region in pairwise(command[1:]):
        if region.startswith(server.regions):
            parts = path.removeprefix(f"{folder}/").split("/")
            return parts[1] if len(parts) > 1 else None
    return None


def _use(process: psutil.Process, model: str) -> ProcessUse:
    with process.oneshot():
        times = process.cpu_times()
        resident, unique = process.memory_info().rss, None
        with suppress(psutil.AccessDenied):
            unique = process.memory_full_info().uss
        return ProcessUse(process.pid, process.create_time(), model, times.user + times.system, resident, unique)
