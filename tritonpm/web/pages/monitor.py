"""The monitor: charts of the last minutes, and tables of now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from tritonpm.operations.monitor.figures import gpu_parts, memory, notes, untold
from tritonpm.operations.monitor.snapshot import Snapshot
from tritonpm.web.api.common import TheSite
from tritonpm.web.pages.render import rendered
from tritonpm.web.problems import shown

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Chart:
    """A figure of every package, of every GPU or of the machine over time; what is shown is the value / `divide`."""

    title: str
    of: str  # package | gpu | machine, as the history's series begin
    figure: str
    unit: str
    divide: float = 1.0


CHARTS = (
    Chart("Requests a second", "package", "requests_per_second", "1/s"),
    Chart("Latency, p50", "package", "p50_us", "ms", 1000),
    Chart("Latency, p99", "package", "p99_us", "ms", 1000),
    Chart("Processor", "machine", "cpu_percent", "%"),
    Chart("Memory", "machine", "memory_used", "GiB", 1 << 30),
    Chart("GPU utilisation", "gpu", "utilisation", "%"),
    Chart("GPU memory", "gpu", "memory_used", "GiB", 1 << 30),
    Chart("GPU temperature", "gpu", "temperature", "°C"),
    Chart("GPU power", "gpu", "power", "W"),
    Chart("GPU clock", "gpu", "clock_graphics", "MHz"),
)
TIMES = {15: "15 min", 60: "1 h", 24 * 60: "24 h"}  # by minutes
# The fields of a GPU that may be missing, by their names in the tables.
FIELDS = {
    "name": "Name", "uuid": "UUID", "utilisation": "Utilisation", "memory_used": "Memory",
    "memory_total": "Memory", "temperature": "Temperature", "power": "Power", "power_limit": "Power limit",
    "clock_graphics": "Clock", "clock_memory": "Memory clock", "processes": "Processes",
}  # fmt: skip


@router.get("/monitor", response_class=HTMLResponse)
def monitor(request: Request, site: TheSite) -> HTMLResponse:
    """The page; its scripts fetch what they draw."""
    snapshot = next(iter(site.ring.snapshots()[-1:]), None)
    return rendered(request, "monitor.html", charts=CHARTS, periods=TIMES, most=_most(snapshot) if snapshot else {})


def _most(snapshot: Snapshot) -> dict[str, float]:
    """What each figure can be at most, where that is known; in the units of a snapshot."""
    parts = [part for _, part in gpu_parts(snapshot.gpus)]
    known = {"machine/cpu_percent": 100.0, "machine/memory_used": float(snapshot.machine.memory_total)}
    memory = [part.memory_total for part in parts if part.memory_total]
    return known | {"gpu/utilisation": 100.0} | ({"gpu/memory_used": float(max(memory))} if memory else {})


@router.get("/monitor/now", response_class=HTMLResponse)
def now(request: Request, site: TheSite) -> HTMLResponse:
    """What the last snapshot tells; it is replaced with every one."""
    snapshot = next(iter(site.ring.snapshots()[-1:]), None)
    values = _told(snapshot) if snapshot else {}
    reason = shown(snapshot.server.reason, site.root) if snapshot else ""
    return rendered(request, "now.html", snapshot=snapshot, memory=memory, fields=FIELDS, reason=reason, **values)


def _told(snapshot: Snapshot) -> dict[str, Any]:
    owners = {pid: load.name for load in snapshot.packages if load.usage for pid in load.usage.pids}
    parts = [(label, part, untold(part)) for label, part in gpu_parts(snapshot.gpus)]
    on_gpus = [
        (label, process, owners.get(process.pid, ""))
        for label, part, _ in parts
        for process in part.processes or ()
        if not getattr(part, "mig", ())  # whose parts list them
    ]
    rates = [load.rates for load in snapshot.packages]
    key = {
        "requests": sum(rate.requests_per_second or 0.0 for rate in rates),
        "failures": sum(rate.failures_per_second or 0.0 for rate in rates),
        "p99": max((rate.p99_us for rate in rates if rate.p99_us is not None), default=None),
    }
    return {"key": key, "parts": parts, "on_gpus": on_gpus, "notes": list(notes(snapshot))}
