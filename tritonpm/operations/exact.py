"""An IR that nobody optimised, as it is rendered: marked so that it computes in FP32 wherever it is served.

The embedded server is told the precision; Triton's own openvino backend takes no such parameter. What `tritonpm
optimize` writes is marked already (`convert/precise.py`), and what was adopted stays as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from shutil import copyfile
from typing import TYPE_CHECKING

from tritonpm.core.files import digest_of, digest_of_bytes
from tritonpm.core.types import Agreement, BatchAxis, File, Format, Optimised, Package, Stage
from tritonpm.operations.artefacts import kept_artefact
from tritonpm.operations.batch_axes import Place

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings

_VERSION = "1"  # of how it is marked


def exact(
    context: Context, package: Package, settings: Settings, axes: Mapping[str, BatchAxis],
    optimised: Mapping[str, Optimised], place: Place,
) -> Mapping[str, BatchAxis]:  # fmt: skip
    """The batch axes, with the marked IR as what is served of each stage that has one and does not ask for bf16."""

    def marked(name: str, axis: BatchAxis) -> BatchAxis:
        stage = package.stage(name)
        if stage.format is not Format.OPENVINO or stage.config or name in optimised or settings.for_stage(name).bf16:
            return axis
        return replace(axis, artefact=_marked(context, axis, package, stage, place))

    return {name: marked(name, axis) for name, axis in axes.items()}


def _marked(context: Context, axis: BatchAxis, package: Package, stage: Stage, place: Place) -> str:
    """The digest of the marked IR, made once for each content."""
    from tritonpm.convert.precise import keep_precision

    file = package.file(stage.model)
    source = axis.artefact or file.digest
    key = digest_of_bytes(f"precise {_VERSION} {source}".encode())
    if kept := kept_artefact(context, key):
        return kept.files[0].digest
    with context.workspace.scratch("exact") as folder:
        model = folder / "model.xml"
        copyfile(context.blobs.path(source) if axis.artefact else place(file), model)
        keep_precision(model, fp32=True)
        made = File(model.name, digest_of(model), model.stat().st_size)
        context.blobs.put(model, made.digest, move=True)
    record = Optimised(
        "none",
        "FP32",
        stage.format,
        axis.signature or stage.signature,
        made.path,
        (made,),
        agreement=Agreement("verified"),
    )
    context.catalogue.artefacts.put(key, file.digest, record)
    return made.digest
