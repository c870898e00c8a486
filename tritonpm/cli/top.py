"""`tritonpm top`: what the machine, the GPUs, the server and the packages do."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import rich_click as click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tritonpm.hardware.nvml import GpuSample, Mig
    from tritonpm.monitoring import Monitor
    from tritonpm.snapshot import ModelLoad, PackageLoad, ServerLoad, Snapshot

_PACKAGES = (
    "PACKAGE", "REQ/S", "INFER/S", "FAILED/S", "PENDING", "QUEUE", "MEAN", "P50", "P99", "PROCESSES", "CPU %", "MEMORY",
    "GPU MEMORY",
)  # fmt: skip
_GPUS = ("GPU", "NAME", "USE %", "MEMORY", "°C", "POWER", "CLOCK", "MEMORY CLOCK", "PROCESSES")
_UNKNOWN = "–"


@command(
    "top",
    examples="""
    tritonpm top
    tritonpm top --once --interval 5
    tritonpm top -o json
    tritonpm top --server 10.0.0.7:8000 --metrics 10.0.0.7:8002
    """,
)
@click.option("--once", is_flag=True, help="Print one table and end, as where standard output is no terminal.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True,
    help="Seconds between two looks; rates are over them.",
)  # fmt: skip
@click.option("--metrics", metavar="HOST:PORT", help="The metrics endpoint of the Triton that --server names.")
@on_a_server
@reading
@pass_app
def top_command(app: App, once: bool, interval: float, metrics: str | None) -> None:
    """Show the load of the machine, the GPUs, the server and each package, until Ctrl-C."""
    from tritonpm.monitoring import Monitor

    with Monitor(app.serving(), metrics) as monitor:
        if once or app.output != "table" or not sys.stdout.isatty():
            _print(app, _second(monitor, interval))
        else:
            _live(monitor, interval)


def _second(monitor: Monitor, interval: float) -> Snapshot:
    """The first snapshot that has rates."""
    monitor.sample()
    time.sleep(interval)
    return monitor.sample()


def _print(app: App, snapshot: Snapshot) -> None:
    from tritonpm.cli.output import show

    app.emit("Snapshot", snapshot, lambda: show(_picture(snapshot)))


def _live(monitor: Monitor, interval: float) -> None:
    """Draw anew after each interval, on a screen of its own; Ctrl-C ends it."""
    from rich.live import Live

    with Live(_picture(monitor.sample()), screen=True, auto_refresh=False) as screen:
        try:
            while True:
                time.sleep(interval)
                screen.update(_picture(monitor.sample()), refresh=True)
        except KeyboardInterrupt:
            return


def _picture(snapshot: Snapshot) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from tritonpm.cli.output import listing

    parts: list[RenderableType] = [Text("\n".join(_head(snapshot)))]
    if snapshot.gpus.devices:
        parts += [Text(), listing(_GPUS, _gpu_rows(snapshot))]
    if snapshot.packages:
        parts += [Text(), listing(_PACKAGES, _package_rows(snapshot))]
    if notes := list(_notes(snapshot)):
        parts += [Text(), Text("\n".join(notes))]
    return Group(*parts)


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
    return said


def _gpu_rows(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    for gpu in snapshot.gpus.devices:
        power = f"{_number(gpu.power)} of {_number(gpu.power_limit)} W"
        yield (
            str(gpu.index), gpu.name or gpu.reason, _number(gpu.utilisation), _held(gpu), _number(gpu.temperature), power,
            f"{_number(gpu.clock_graphics)} MHz", f"{_number(gpu.clock_memory)} MHz", _count(gpu),
        )  # fmt: skip
        for part in gpu.mig:
            yield f"{gpu.index}.{part.index}", part.name or "", "", _held(part), "", "", "", "", _count(part)


def _held(part: GpuSample | Mig) -> str:
    return f"{_bytes(part.memory_used)} of {_bytes(part.memory_total)}"


def _count(part: GpuSample | Mig) -> str:
    return _UNKNOWN if part.processes is None else str(len(part.processes))


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
        for part, label in ((gpu, f"GPU {gpu.index}"), *((each, f"GPU {gpu.index}.{each.index}") for each in gpu.mig)):
            for reason in dict.fromkeys(part.missing.values()):
                fields = ", ".join(name.replace("_", " ") for name, why in part.missing.items() if why == reason)
                yield f"{label}: {fields}: {reason}."


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
    if size is None:
        return _UNKNOWN
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
