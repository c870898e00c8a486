"""How `tritonpm top` draws a snapshot."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from tritonpm.cli.output import listing
from tritonpm.core.text import harmless
from tritonpm.hardware.nvml import GpuSample, Mig
from tritonpm.operations.monitor.figures import UNKNOWN, duration, gpu_parts, memory, notes, number, size, untold
from tritonpm.operations.monitor.snapshot import ModelLoad, PackageLoad, ServerLoad, Snapshot

_PACKAGES = (
    "PACKAGE", "REQ/S", "INFER/S", "FAILED/S", "PENDING", "QUEUE", "MEAN", "P50", "P99", "PROCESSES", "CPU %", "MEMORY",
    "GPU MEMORY",
)  # fmt: skip
_WIDE_ONLY = ("INFER/S", "PENDING", "MEAN", "PROCESSES")
_WIDE = 112  # columns of a terminal in which all of them have room
_GPUS = ("GPU", "NAME", "USE %", "MEMORY", "°C", "WATTS", "MHZ", "MEMORY MHZ", "PROCESSES")


class TopView:
    """A snapshot as text and tables; a narrow terminal is shown fewer columns."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What is drawn, part by part."""
        snapshot = self.snapshot
        yield Text(harmless("\n".join(_head(snapshot)), lines=True))
        if snapshot.gpus.devices:
            yield Text()
            yield listing(_GPUS, _gpu_rows(snapshot))
        if snapshot.packages:
            yield Text()
            yield _packages(snapshot, wide=options.max_width >= _WIDE)
        if lines := list(_notes(snapshot)):
            yield Text()
            yield Text(harmless("\n".join(lines), lines=True))


def _head(snapshot: Snapshot) -> Iterator[str]:
    machine, server = snapshot.machine, snapshot.server
    cpu = "" if machine.cpu_percent is None else f"CPU {machine.cpu_percent:.0f} %, "
    yield f"time     {snapshot.time.astimezone():%F %T}"
    yield f"machine  {machine.cores} cores, {cpu}memory {size(machine.memory_used)} of {size(machine.memory_total)}"
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
    sentence = f"{server.address}, {server.state}"
    if server.usage:
        cpu = number(server.usage.cpu_percent)
        sentence += f", process {server.pid}, CPU {cpu} %, {size(server.usage.memory_resident)}"
        sentence += f", {size(server.usage.gpu_memory)} on GPUs" if server.usage.gpu_memory else ""
    return sentence


def _gpu_rows(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    for gpu in snapshot.gpus.devices:
        power = _of(number(gpu.power), number(gpu.power_limit))
        clocks = number(gpu.clock_graphics), number(gpu.clock_memory)
        use, heat = number(gpu.utilisation), number(gpu.temperature)
        yield str(gpu.index), gpu.name or UNKNOWN, use, _held(gpu), heat, power, *clocks, _count(gpu)
        for part in gpu.mig:
            yield f"{gpu.index}.{part.index}", part.name or "", "", _held(part), "", "", "", "", _count(part)


def _held(part: GpuSample | Mig) -> str:
    return _of(size(part.memory_used), size(part.memory_total))


def _count(part: GpuSample | Mig) -> str:
    return UNKNOWN if part.processes is None else str(len(part.processes))


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
    taken = (UNKNOWN,) * 4
    if usage:
        taken = str(usage.processes), number(usage.cpu_percent), size(memory(usage)), size(usage.gpu_memory)
    return name, *map(number, figures), *map(duration, times), *taken


def _notes(snapshot: Snapshot) -> Iterator[str]:
    """What the figures are, and why some are not there."""
    yield from notes(snapshot)
    for label, part in gpu_parts(snapshot.gpus):
        for reason, names in untold(part).items():
            fields = ", ".join(name.replace("_", " ") for name in names)
            yield f"GPU {label}: {fields}: {reason}." if fields else f"GPU {label}: {reason}."


def _of(used: str, total: str) -> str:
    return used if total == UNKNOWN else f"{used} of {total}"
