"""What a list shows of a package with these settings, kept in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tritonpm.catalogue import Source, Summary
from tritonpm.core.types import BatchAxis, Optimised, Package, Stage
from tritonpm.operations.artefacts import made
from tritonpm.operations.batch_axes import batch_axes

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings


def summary(
    context: Context, package: Package, settings: Settings, axes: Mapping[str, BatchAxis] | None = None
) -> Summary:
    """What a list shows of a package with these settings, and with what was optimised so far.

    Its batch size is what Triton joins, 0 where it does not batch: of a cascade the least of its stages'.
    """
    axes = batch_axes(context, package) if axes is None else axes
    artefacts = made(context, Source(package, settings))
    kinds = " + ".join(stage.task.value.replace("-", " ") for stage in package.stages)
    stages = tuple(stage.name for stage in package.stages)
    batch = min(batch_size(stage, settings, axes[stage.name], artefacts.get(stage.name)) for stage in package.stages)
    return Summary(kinds, stages, settings.mode, settings.device, batch, precision(package, settings), package.version)


def batch_size(stage: Stage, settings: Settings, axis: BatchAxis, artefact: Optimised | None) -> int:
    """What Triton joins of one stage; `settings` are the package's."""
    from tritonpm.settings.backend import backend_of, max_batch_size

    own = settings.for_stage(stage.name)
    return max_batch_size(stage, own, axis, backend_of(stage, own, artefact))


def precision(package: Package, settings: Settings) -> str:
    """What was chosen, else what the models came in: of their first floating-point tensor, FP32 where there is none."""
    if settings.precision != "FP32":
        return settings.precision
    tensors = [t for s in package.stages for t in (*s.signature.inputs, *s.signature.outputs)]
    return next((t.dtype for t in tensors if t.dtype in ("FP16", "BF16", "FP32", "FP64")), "FP32")
