"""What a list shows of a package with these settings, kept in the catalogue."""

from __future__ import annotations

from tritonpm.catalogue import Summary
from tritonpm.core.types import Package
from tritonpm.settings.settings import Settings


def summary(package: Package, settings: Settings) -> Summary:
    """What a list shows of a package with these settings."""
    kinds = " + ".join(stage.task.value.replace("-", " ") for stage in package.stages)
    stages = tuple(stage.name for stage in package.stages)
    batch = min(settings.for_stage(name).max_batch_size for name in stages)
    return Summary(kinds, stages, settings.mode, settings.device, batch, precision(package, settings))


def precision(package: Package, settings: Settings) -> str:
    """What was chosen, else what the models came in: of their first floating-point tensor, FP32 where there is none."""
    if settings.precision != "FP32":
        return settings.precision
    tensors = [t for s in package.stages for t in (*s.signature.inputs, *s.signature.outputs)]
    return next((t.dtype for t in tensors if t.dtype in ("FP16", "BF16", "FP32", "FP64")), "FP32")
