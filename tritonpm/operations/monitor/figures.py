"""A snapshot's figures as a person reads them, in the terminal and on the page, and why some are not there."""

from __future__ import annotations

from collections.abc import Iterator

from tritonpm.core.units import in_unit
from tritonpm.hardware.nvml import Gpus, GpuSample, Mig
from tritonpm.operations.monitor.snapshot import Snapshot, Usage

UNKNOWN = "–"
# What the figures are, and why some are not there.
MEASURED = "P50 and P99 are Triton's own, over its last minute; the rest is since the last refresh."
NO_SUMMARIES = "No percentiles: Triton reports them with --metrics-config summary_latencies=true. MEAN is the average."
NO_METRICS = "No percentiles: name the server's metrics endpoint with --metrics. MEAN is the average."
ELSEWHERE = "Processes and memory are seen only where this workspace runs the server."
NOTES = (MEASURED, NO_SUMMARIES, NO_METRICS, ELSEWHERE)


def notes(snapshot: Snapshot) -> Iterator[str]:
    """Those of NOTES that hold for a snapshot."""
    server = snapshot.server
    if snapshot.packages and server.percentiles:
        yield MEASURED
    elif snapshot.packages and server.source == "metrics":
        yield NO_SUMMARIES
    elif server.source == "statistics":
        yield NO_METRICS
    if server.state == "live" and server.usage is None:
        yield ELSEWHERE


def gpu_parts(gpus: Gpus) -> Iterator[tuple[str, GpuSample | Mig]]:
    """Every GPU, followed by its parts where it is partitioned: (index, GPU) and (index.part, part)."""
    for gpu in gpus.devices:
        yield str(gpu.index), gpu
        for part in gpu.mig:
            yield f"{gpu.index}.{part.index}", part


def untold(part: GpuSample | Mig) -> dict[str, list[str]]:
    """Why a GPU does not tell all: reason → the fields that it holds for, none where it holds for the whole GPU."""
    fields = {part.reason: list[str]()} if isinstance(part, GpuSample) and part.reason else {}
    for name, why in part.missing.items():
        fields.setdefault(why, []).append(name)
    return fields


def number(value: float | None) -> str:
    """Three figures that count, or all before the point."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def duration(micros: float | None) -> str:
    """Microseconds, as milliseconds where they are many."""
    if micros is None:
        return UNKNOWN
    return f"{micros:.0f} µs" if micros < 1000 else f"{number(micros / 1000)} ms"


def size(count: int | None) -> str:
    """Bytes, in the unit in which they are read."""
    if count is None:
        return UNKNOWN
    value, unit = in_unit(count)
    return f"{number(value)} {unit}"


def memory(usage: Usage) -> int:
    """What would be free without these processes; resident where that cannot be seen."""
    return usage.memory_resident if usage.memory_unique is None else usage.memory_unique
