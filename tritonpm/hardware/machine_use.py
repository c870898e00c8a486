"""How busy the machine is."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class MachineUse:
    """Processor seconds since the start, of all cores together, and bytes of memory."""

    cores: int
    busy: float
    total: float
    memory_used: int
    memory_total: int

    def percent_since(self, before: MachineUse | None) -> float | None:
        """How busy the cores were, 100 where all were; None where too little time has passed to tell."""
        if before is None or self.total <= before.total:
            return None
        return min(100.0, max(0.0, 100 * (self.busy - before.busy) / (self.total - before.total)))


def machine_use() -> MachineUse:
    """The whole machine now. Memory is used that no program could get, caches not counted."""
    times, memory = psutil.cpu_times(), psutil.virtual_memory()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # The kernel counts guests in "user" as well.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return MachineUse(psutil.cpu_count() or 1, total - idle, total, memory.total - memory.available, memory.total)
