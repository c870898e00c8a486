"""The machine: cores, memory, GPUs by NVML, and the doctor's checks."""

from tritonpm.hardware.machine import gpus, target

__all__ = ["gpus", "target"]
