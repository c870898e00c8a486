"""What a server and its models hold in memory: proportional set sizes, so that shared pages count once."""

from __future__ import annotations

from contextlib import suppress

import psutil


def resident(pid: int, *, model: str = "") -> int:
    """Bytes of a process and all below it; with `model` only of the stubs that run it, which name its folder."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # it ended while we looked
                if not model or any(f"/{model}/" in part for part in process.cmdline()):
                    total += _bytes(process)
    return total


def _bytes(process: psutil.Process) -> int:
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))
