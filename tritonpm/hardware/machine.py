"""What this machine can serve with."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache

from tritonpm.core.types import Gpu, Target


def cores() -> int:
    """The logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> tuple[tuple[Gpu, ...], str]:
    """The GPUs as NVML reports them, and why there are none ("" where there are).

    Source: NVML API reference, device queries.
    """
    import pynvml

    try:
        _open()
    except pynvml.NVMLError as error:
        return (), f"no NVIDIA driver found ({error})"
    try:
        devices = tuple(_gpu(index) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        _open.cache_clear()  # the driver may be another one the next time
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
        return (), f"NVML cannot read the GPUs ({error})"
    return devices, "" if devices else "the NVIDIA driver reports no GPU"


@cache
def _open() -> None:
    """Open NVML, for as long as the process lives: opening it anew can take a second for each GPU. What fails is tried
    again.
    """
    import pynvml

    pynvml.nvmlInit()


def _gpu(index: int) -> Gpu:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = pynvml.nvmlDeviceGetName(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    text = name if isinstance(name, str) else name.decode()
    return Gpu(index, text, f"{major}.{minor}", int(memory.total), int(memory.free))


def target() -> Target:
    """This machine as a target, now: what the embedded server would serve with."""
    return Target(cores(), gpus()[0])
