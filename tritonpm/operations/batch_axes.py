"""What is known of each stage's batch axis, proved once for each content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.apart import Apart
from tritonpm.core.types import BatchAxis, File, Package

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

Place = Callable[[File], Path]


def batch_axes(
    context: Context, package: Package, place: Place | None = None, apart: Apart | None = None
) -> dict[str, BatchAxis]:
    """By stage; `place` says where the package's files lie, if not in blobs, `apart` is a process to try models in.

    Raises UnsafeError where a model cannot even be loaded within the limits of time and memory.
    """
    from tritonpm.convert.batch import PROOF, prove

    place = place or in_blobs(context)
    axes = {}
    for stage in package.stages:
        content = package.file(stage.model).digest if stage.model else package.digest
        key = f"{content} {PROOF} {stage.format.value} {'adopted' if stage.config else ''}"
        axis = context.catalogue.axis(key)
        if axis is None or (axis.artefact and not context.blobs.has(axis.artefact)):
            with (
                context.progress(f"Proving the batch axis of {stage.name}"),
                context.workspace.scratch("axis") as folder,
            ):
                files = {path: place(package.file(path)) for path in stage.files}
                samples = [place(package.file(sample.inputs)) for sample in stage.samples]
                axis, rewritten = prove(stage, files, samples, folder, apart)
                if rewritten and axis.artefact:
                    context.blobs.put(rewritten, axis.artefact, move=True)
            context.catalogue.put_axis(key, axis)
        axes[stage.name] = axis
    return axes


def in_blobs(context: Context) -> Place:
    """Where the files of a package lie that is in the workspace."""
    return lambda file: context.blobs.path(file.digest)
