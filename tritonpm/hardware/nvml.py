"""What every GPU does right now, as NVML reports it. What a GPU does not report is None, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

# The name of an error in NVML's header, without NVML_ERROR_ → what it means for a person
_MEANINGS = {
    "LIBRARY_NOT_FOUND": "no NVIDIA driver found",
    "DRIVER_NOT_LOADED": "the NVIDIA driver is not loaded",
    "LIB_RM_VERSION_MISMATCH": "the NVIDIA driver was updated, but not reloaded: restart the machine",
    "NOT_SUPPORTED": "this GPU does not report it",
    "FUNCTION_NOT_FOUND": "this NVIDIA driver is too old to report it",
    "NO_PERMISSION": "no permission to read it",
    "GPU_IS_LOST": "the GPU is lost: it no longer answers on the bus",
    "RESET_REQUIRED": "the GPU must be reset",
}
_NO_GPU = "the NVIDIA driver reports no GPU"
REASONS = (*_MEANINGS.values(), _NO_GPU)  # all that are not NVML's own words


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process on a GPU and the bytes that it has there; None where the driver does not tell."""

    pid: int
    memory: int | None


@dataclass(frozen=True, slots=True)
class Mig:
    """A part of a GPU that is partitioned; bytes."""

    index: int
    name: str | None
    uuid: str | None
    memory_used: int | None
    memory_total: int | None
    processes: tuple[GpuProcess, ...] | None
    missing: Mapping[str, str] = field(default_factory=dict)  # a field that is None → why


@dataclass(frozen=True, slots=True)
class GpuSample:
    """A GPU at one moment: percent, bytes, °C, watts, MHz. `reason` says why nothing at all can be read."""

    index: int
    reason: str = ""
    name: str | None = None
    uuid: str | None = None
    utilisation: int | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    temperature: int | None = None
    power: float | None = None
    power_limit: float | None = None
    clock_graphics: int | None = None
    clock_memory: int | None = None
    processes: tuple[GpuProcess, ...] | None = None
    mig: tuple[Mig, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)  # a field that is None → why


@dataclass(frozen=True, slots=True)
class Gpus:
    """Every GPU of the machine, and why there is none ("" where there are)."""

    devices: tuple[GpuSample, ...]
    reason: str = ""


class Nvml:
    """NVML, kept open between samples: opening it anew can take a second for each GPU. Close it in the end."""

    def __init__(self) -> None:
        self._open = False

    def __enter__(self) -> Nvml:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sample(self) -> Gpus:
        """Every GPU now; after an error of the driver the next sample opens it again."""
        import pynvml

        try:
            if not self._open:
                pynvml.nvmlInit()
                self._open = True
            devices = tuple(_device(index) for index in range(pynvml.nvmlDeviceGetCount()))
        except pynvml.NVMLError as error:
            self.close()
            return Gpus((), meaning(error))
        return Gpus(devices, "" if devices else _NO_GPU)

    def close(self) -> None:
        """Let NVML go; a later sample opens it again."""
        import pynvml

        if self._open:
            self._open = False
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


def meaning(error: Exception) -> str:
    """An NVML error in plain words, or in NVML's own."""
    import pynvml

    value = getattr(error, "value", None)
    for name, words in _MEANINGS.items():
        if value == getattr(pynvml, f"NVML_ERROR_{name}"):
            return words
    return f"NVML says: {error}"


def _device(index: int) -> GpuSample:
    import pynvml

    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        return GpuSample(index, meaning(error))
    read = _Reader()
    fields: dict[str, Any] = {name: read(name, query, handle) for name, query in _queries().items()}
    lost = [why for why in read.missing.values() if why == _MEANINGS["GPU_IS_LOST"]]
    if lost:
        return GpuSample(index, lost[0], fields["name"], fields["uuid"])
    used, total = _memory(fields.pop("memory"), read.missing)
    mig = tuple(_mig_devices(handle))
    return GpuSample(index, memory_used=used, memory_total=total, mig=mig, missing=read.missing, **fields)


class _Reader:
    """Reads one value after the other, and keeps why those are missing that cannot be read."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def __call__(self, name: str, query: Callable[[Any], T], handle: object) -> T | None:
        import pynvml

        try:
            return query(handle)
        except pynvml.NVMLError as error:
            self.missing[name] = meaning(error)
            return None


def _queries() -> dict[str, Callable[[Any], Any]]:
    """A GPU's fields and how each is read. NVML tells power in milliwatts."""
    import pynvml as nvml

    return {
        "name": _name,
        "uuid": _uuid,
        "memory": nvml.nvmlDeviceGetMemoryInfo,
        "utilisation": lambda handle: int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "temperature": lambda handle: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        "power": lambda handle: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "power_limit": lambda handle: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "clock_graphics": lambda handle: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_GRAPHICS),
        "clock_memory": lambda handle: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
        "processes": _processes,
    }


def _name(handle: object) -> str:
    import pynvml

    return _text(pynvml.nvmlDeviceGetName(handle))


def _uuid(handle: object) -> str:
    import pynvml

    return _text(pynvml.nvmlDeviceGetUUID(handle))


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode(errors="replace")


def _memory(memory: Any, missing: dict[str, str]) -> tuple[int | None, int | None]:
    if memory is not None:
        return int(memory.used), int(memory.total)
    why = missing.pop("memory")
    missing |= {"memory_used": why, "memory_total": why}
    return None, None


def _processes(handle: object) -> tuple[GpuProcess, ...]:
    """Those that compute and those that draw; one that does both is in both lists, each time with all that it has."""
    import pynvml

    used = {process.pid: process.usedGpuMemory for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    with suppress(pynvml.NVMLError_NotSupported):  # of a GPU that only computes
        used |= {process.pid: process.usedGpuMemory for process in pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle)}
    return tuple(GpuProcess(pid, memory) for pid, memory in sorted(used.items()))


def _mig_devices(handle: object) -> Iterator[Mig]:
    """The parts of a GPU that is partitioned; none where it is not, or cannot be."""
    import pynvml

    try:
        if pynvml.nvmlDeviceGetMigMode(handle)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return
        most = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except pynvml.NVMLError:  # of a GPU or a driver that knows no parts
        return
    for index in range(most):
        with suppress(pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument):  # a place that is not taken
            yield _mig(index, pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))


def _mig(index: int, handle: object) -> Mig:
    import pynvml

    read = _Reader()
    name, uuid = read("name", _name, handle), read("uuid", _uuid, handle)
    used, total = _memory(read("memory", pynvml.nvmlDeviceGetMemoryInfo, handle), read.missing)
    return Mig(index, name, uuid, used, total, read("processes", _processes, handle), read.missing)
