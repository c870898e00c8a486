"""Whether a process still runs, told by its number and its birth: with the standard library only, as `list` asks it.

The birth is the kernel's own count since the machine started. A time of day would not do: where the clock is set, or
drifts back into step, the same process seems to have started at another moment, and a living server seems dead.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from tritonpm.core.files import read_state

_PROC = Path("/proc")
# Fields of /proc/PID/stat after the name, which may itself hold blanks and brackets.
_STATE, _THREADS, _STARTED, _ENDED = 0, 17, 19, 49
_UNKNOWN = "?"
_DEAD = ("X", "x")
_SAME = 2.0  # seconds by which two readings of a start as a time of day may differ


def birth(pid: int) -> str:
    """What tells this process from others that had or will have its number; "" where it has ended (or is a zombie).

    Where there is no /proc it is "?" for every process that lives.
    """
    if not _PROC.joinpath("self/stat").exists():
        return _UNKNOWN if _signalled(pid) else ""
    fields = _fields(pid)
    if not fields or fields[_STATE] in _DEAD or (fields[_STATE] == "Z" and int(fields[_THREADS]) <= 1):
        return ""  # a zombie with threads is on its way out, and still holds its ports
    return f"{_boot()}/{fields[_STARTED]}"


def lives(pid: int, born: str, created: float) -> bool:
    """Whether that very process runs; where an older version wrote down no birth, by `created` (seconds since 1970)."""
    now = birth(pid)
    if born or not now or now == _UNKNOWN:
        return bool(now) and now == (born or now)
    return abs(time_of(now) - created) < _SAME


def why_not_running(pid: int) -> str:
    """What became of a process of ours that answers nobody any more; "" where it runs."""
    fields = _fields(pid)
    if fields and fields[_STATE] == "T":
        return f"process {pid} is stopped (SIGSTOP)"
    if fields and fields[_STATE] not in ("Z", *_DEAD):
        return ""
    status = int(fields[_ENDED]) if len(fields) > _ENDED else 0
    if number := status & 0x7F:
        with suppress(ValueError):
            return f"process {pid} was ended by {signal.Signals(number).name}"
    return f"process {pid} has ended" + (f" with code {status >> 8}" if status else "")


def time_of(born: str) -> float:
    """A birth as a time of day, in seconds since 1970, by this machine's clock of now."""
    if born == _UNKNOWN:
        return time.time()
    return _booted() + int(born.rpartition("/")[2]) / os.sysconf("SC_CLK_TCK")


def server_lives(state: Path) -> bool:
    """Whether the server of this state folder runs; cheap: it asks neither the server nor psutil."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        server = json.loads(read_state(state / "server.json"))
        return lives(int(server["pid"]), str(server.get("born", "")), float(server["created"]))
    return False


def _fields(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _signalled(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def _boot() -> str:
    """Which start of the machine this is; it stays the same in every container."""
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return ""


def _booted() -> float:
    """When the machine started, in seconds since 1970, by its clock of now."""
    with suppress(OSError):
        for line in (_PROC / "stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0
