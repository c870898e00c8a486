"""What the machine's processes tell of a server of which nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def tritonservers(state: Path) -> Iterator[tuple[int, list[str]]]:
    """The tritonservers that were started for a state folder, which is where they run, with their command lines."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(f"/proc/{process.pid}/cwd").samefile(state):
                command = process.cmdline()
                if command and Path(command[0]).name == "tritonserver":
                    yield process.pid, command


def children(pid: int) -> list[int]:
    """The numbers of a process's children, from the kernel's own list where it keeps one: all processes are many."""
    lists = list(Path(f"/proc/{pid}/task").glob("*/children"))
    found: list[int] = []
    for file in lists:
        with suppress(OSError):  # that thread has ended, and its children are another's
            found += map(int, file.read_text().split())
    if not lists:
        with suppress(psutil.Error):
            found = [child.pid for child in psutil.Process(pid).children()]
    return found


def command_of(pid: int) -> list[str]:
    """A process's command line, [] where it has ended."""
    with suppress(psutil.Error):
        return psutil.Process(pid).cmdline()
    return []


def listening(pid: int) -> dict[int, str]:
    """The ports that a process listens on, with the address of each."""
    with suppress(psutil.Error):
        connections = psutil.Process(pid).net_connections("tcp")
        return {c.laddr.port: c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return {}
