"""The energy that the machine spent between two moments: RAPL for processors, NVML for GPUs.

Sources: the kernel's powercap documentation; NVML API reference, nvmlDeviceGetTotalEnergyConsumption (Volta and later).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonpm.perf.measurement import Energy

POWERCAP = Path("/sys/class/powercap")
_WHOLE_MACHINE = "psys"  # a zone that holds the others


@dataclass(frozen=True)
class EnergyReading:
    """Joules by counter, each with what it can count before it starts anew (0: it does not); or why there is none."""

    joules: Mapping[str, tuple[float, float]]
    reason: str = ""


def reader(*, gpu: bool, indexes: Collection[int] = (), powercap: Path = POWERCAP) -> Callable[[], EnergyReading]:
    """What reads the counters: the processors', and with `gpu` those of the GPUs (no `indexes`: all of them)."""

    def read() -> EnergyReading:
        parts = [_processors(powercap), *([_gpus(indexes)] if gpu else [])]
        joules = {name: value for part in parts for name, value in part.joules.items()}
        return EnergyReading(joules, "; ".join(part.reason for part in parts if part.reason))

    return read


def spent(before: EnergyReading, after: EnergyReading, inferences: int) -> Energy:
    """The energy between two readings. Where one part cannot be read there is no sum: it would be too small."""
    if before.reason or after.reason:
        return Energy(None, inferences, reason=before.reason or after.reason)
    joules = 0.0
    for name, (start, _) in before.joules.items():
        end, most = after.joules[name]
        joules += end - start if end >= start else end - start + most
    return Energy(joules, inferences, ", ".join(sorted(before.joules)))


def _processors(powercap: Path) -> EnergyReading:
    joules = {}
    try:
        for zone in sorted(powercap.glob("intel-rapl:*")):
            name = (zone / "name").read_text().strip()
            if zone.name.count(":") > 1 and name != "dram":  # a part of its package
                continue
            if name != _WHOLE_MACHINE:
                used, most = ((zone / file).read_text() for file in ("energy_uj", "max_energy_range_uj"))
                joules[f"RAPL {zone.name} {name}"] = (int(used) / 1e6, int(most) / 1e6)
    except OSError as error:
        return EnergyReading({}, f"RAPL cannot be read ({error.strerror}: {error.filename})")
    return EnergyReading(joules, "" if joules else "this machine shows no RAPL counters")


def _gpus(indexes: Collection[int]) -> EnergyReading:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return EnergyReading({}, f"no NVIDIA driver found ({error})")
    try:
        wanted = sorted(indexes) or range(pynvml.nvmlDeviceGetCount())
        handles = {index: pynvml.nvmlDeviceGetHandleByIndex(index) for index in wanted}
        read = pynvml.nvmlDeviceGetTotalEnergyConsumption
        return EnergyReading({f"NVML GPU {index}": (read(handle) / 1000, 0.0) for index, handle in handles.items()})
    except pynvml.NVMLError as error:
        return EnergyReading({}, f"NVML cannot read the GPUs' energy ({error})")
    finally:
        pynvml.nvmlShutdown()
