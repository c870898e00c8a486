"""How `tritonpm top` draws a snapshot."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from tritonpm.cli.output import listing
from tritonpm.hardware.nvml import GpuSample, Mig
from tritonpm.package.limits import human
from tritonpm.snapshot import ModelLoad, PackageLoad, ServerLoad, Snapshot

_PACKAGES = (
    "PACKAGE", "REQ/S", "INFER/S", "FAILED/S", "PENDING", "QUEUE", "MEAN", "P50", "P99", "PROCESSES", "CPU %", "MEMORY",
    "GPU MEMORY",
)  # fmt: skip
_WIDE_ONLY = ("INFER/S", "PENDING", "MEAN", "PROCESSES")
_WIDE = 112  # columns of a terminal in which all of them have room
_GPUS = ("GPU", "NAME", "USE %", "MEMORY", "°C", "WATTS", "MHZ", "MEMORY MHZ", "PROCESSES")
_UNKNOWN = "–"


class Picture:
    """A snapshot as text and tables; a narrow terminal is shown fewer columns."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What is drawn, part by part."""
        snapshot = self.snapshot
        yield Text("\n".join(_head(snapshot)))
        if snapshot.gpus.devices:
            yield Text()
            yield listing(_GPUS, _gpu_rows(snapshot))
        if snapshot.packages:
            yield Text()
            yield _packages(snapshot, wide=options.max_width >= _WIDE)
        if notes := list(_notes(snapshot)):
            yield Text()
            yield Text("\n".join(notes))


def _head(snapshot: Snapshot) -> Iterator[str]:
    machine, server = snapshot.machine, snapshot.server
    cpu = "" if machine.cpu_percent is None else f"CPU {machine.cpu_percent:.0f} %, "
    memory = f"{_bytes(machine.memory_used)} of {_bytes(machine.memory_total)}"
    yield f"time     {snapshot.time.astimezone():%F %T}"
    yield f"machine  {machine.cores} cores, {cpu}memory {memory}"
    if not snapshot.gpus.devices:
        yield f"GPU      {snapshot.gpus.reason}"
    yield f"server   {_server(server)}"
    if server.state == "live" and not snapshot.packages:
        yield "models   none is loaded"


def _server(server: ServerLoad) -> str:
    if server.state == "stopped":
        return f"{server.reason}; start one with `tritonpm serve --detach`"
    if server.state != "live":
        return f"{server.address} does not answer: {server.reason}"
    said = f"{server.address}, {server.state}"
    if server.usage:
        cpu = _number(server.usage.cpu_percent)
        said += f", process {server.pid}, CPU {cpu} %, {_bytes(server.usage.memory_resident)}"
        said += f", {_bytes(server.usage.gpu_memory)} on GPUs" if server.usage.gpu_memory else ""
    return said


def _gpu_rows(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    for gpu in snapshot.gpus.devices:
        power = _of(_number(gpu.power), _number(gpu.power_limit))
        clocks = _number(gpu.clock_graphics), _number(gpu.clock_memory)
        use, heat = _number(gpu.utilisation), _number(gpu.temperature)
        yield str(gpu.index), gpu.name or _UNKNOWN, use, _held(gpu), heat, power, *clocks, _count(gpu)
        for part in gpu.mig:
            yield f"{gpu.index}.{part.index}", part.name or "", "", _held(part), "", "", "", "", _count(part)


def _held(part: GpuSample | Mig) -> str:
    return _of(_bytes(part.memory_used), _bytes(part.memory_total))


def _count(part: GpuSample | Mig) -> str:
    return _UNKNOWN if part.processes is None else str(len(part.processes))


def _packages(snapshot: Snapshot, *, wide: bool) -> Table:
    left_out = (() if wide else _WIDE_ONLY) + (() if snapshot.gpus.devices else ("GPU MEMORY",))
    shown = [place for place, column in enumerate(_PACKAGES) if column not in left_out]
    rows = ([row[place] for place in shown] for row in _package_rows(snapshot))
    return listing([_PACKAGES[place] for place in shown], rows)


def _package_rows(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    for package in snapshot.packages:
        yield _row(package.name, package)
        for stage in package.stages:
            yield _row("  " + stage.name.removeprefix(f"{package.name}."), stage)


def _row(name: str, load: PackageLoad | ModelLoad) -> tuple[str, ...]:
    rates, usage = load.rates, load.usage
    figures = (rates.requests_per_second, rates.inferences_per_second, rates.failures_per_second, rates.pending)
    times = (rates.queue_us, rates.average_us, rates.p50_us, rates.p99_us)
    taken = (_UNKNOWN,) * 4
    if usage:
        memory = usage.memory_resident if usage.memory_unique is None else usage.memory_unique
        taken = str(usage.processes), _number(usage.cpu_percent), _bytes(memory), _bytes(usage.gpu_memory)
    return name, *map(_number, figures), *map(_time, times), *taken


def _notes(snapshot: Snapshot) -> Iterator[str]:
    """What the figures are, and why some are not there."""
    server = snapshot.server
    if snapshot.packages and server.percentiles:
        yield "P50 and P99 are Triton's own, over its last minute; the rest is since the last look."
    elif snapshot.packages and server.source == "metrics":
        yield "No percentiles: Triton tells them with --metrics-config summary_latencies=true. MEAN is the average."
    elif server.source == "statistics":
        yield "No percentiles: name the server's metrics endpoint with --metrics. MEAN is the average."
    if server.state == "live" and server.usage is None:
        yield "Processes and memory are seen only where this workspace runs the server."
    for gpu in snapshot.gpus.devices:
        yield from _missing(str(gpu.index), gpu)
        for part in gpu.mig:
            yield from _missing(f"{gpu.index}.{part.index}", part)


def _missing(label: str, part: GpuSample | Mig) -> Iterator[str]:
    for reason in dict.fromkeys((*part.missing.values(), *filter(None, (getattr(part, "reason", ""),)))):
        fields = ", ".join(name.replace("_", " ") for name, why in part.missing.items() if why == reason)
        yield f"GPU {label}: {fields}: {reason}." if fields else f"GPU {label}: {reason}."


def _number(value: float | None) -> str:
    """Three figures that count, or all before the point."""
    if value is None:
        return _UNKNOWN
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _time(micros: float | None) -> str:
    if micros is None:
        return _UNKNOWN
    return f"{micros:.0f} µs" if micros < 1000 else f"{_number(micros / 1000)} ms"


def _bytes(size: int | None) -> str:
    return _UNKNOWN if size is None else human(size)


def _of(used: str, total: str) -> str:
    return used if total == _UNKNOWN else f"{used} of {total}"
