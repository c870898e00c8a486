"""The machine: cores, memory, GPUs by NVML."""
