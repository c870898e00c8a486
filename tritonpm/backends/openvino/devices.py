"""What OpenVINO is told for a device string. Imports nothing: it is copied to a server with model.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CHOOSING = ("AUTO", "HETERO", "MULTI")  # plugins that hand the model on to devices
_HINT, _PRECISION = "PERFORMANCE_HINT", "INFERENCE_PRECISION_HINT"
_ON_GPU = ("f32", "f16")  # precisions that OpenVINO's GPU plugin knows


def properties_for(device: str, on_cpu: Mapping[str, Any]) -> dict[str, Any]:
    """OpenVINO's properties for `device` (CPU, GPU.1, AUTO, HETERO:GPU,CPU, BATCH:CPU(4), …).

    `on_cpu` holds what the CPU is told. The plugins that choose devices take the hint for themselves and the rest for
    each device; a GPU is told the precision too, since left to itself it computes FP32 in fp16.
    """
    hint = {_HINT: on_cpu[_HINT]}
    on_gpu = {_PRECISION: on_cpu[_PRECISION]} if on_cpu[_PRECISION] in _ON_GPU else {}
    plugin, _, inner = device.partition(":")
    if plugin in _CHOOSING:
        rest = {name: value for name, value in on_cpu.items() if name != _HINT}
        return {**hint, "DEVICE_PROPERTIES": {"CPU": rest, **({"GPU": on_gpu} if on_gpu else {})}}
    kind = (inner if plugin == "BATCH" else device).partition("(")[0].partition(".")[0]
    return dict(on_cpu) if kind == "CPU" else {**hint, **(on_gpu if kind == "GPU" else {})}
