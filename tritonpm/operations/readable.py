"""Whether the runtime that a backend brings reads the model that it is given, and starts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tritonpm.core.apart import Apart
from tritonpm.core.errors import RuleError
from tritonpm.core.files import link_or_copy
from tritonpm.core.types import BatchAxis, File, Format, Package
from tritonpm.settings.backend import backend_of
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def require_readable(
    context: Context, package: Package, settings: Settings, place: Callable[[File], Path] | None = None
) -> None:
    """Raise RuleError where OpenVINO shall serve an ONNX model and cannot read it; `place` says where the files lie.

    Where it can and computes it otherwise, that is told.
    """
    from tritonpm.convert.describing import altered_by_openvino, refused_by_openvino

    for stage in package.stages:
        own = settings.for_stage(stage.name)
        if stage.config or stage.format is not Format.ONNX or own.optimised or backend_of(stage, own) != "openvino":
            continue
        with context.workspace.scratch("readable") as folder, Apart() as apart:
            for path in stage.files:
                file = package.file(path)
                target = folder / PurePosixPath(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(place(file) if place else context.blobs.path(file.digest), target)
            model = folder / PurePosixPath(stage.model)
            reason = refused_by_openvino(model, apart)
            altered = "" if reason else altered_by_openvino(model, stage.values, apart)
        if reason:
            raise RuleError(
                f"OpenVINO cannot read the model of stage {stage.name}: {reason}",
                where=package.name,
                do="leave it to onnxruntime, without --backend",
            )
        if altered:
            context.warn(f"{package.name}: stage {stage.name} may answer otherwise than its model: {altered}.")


def foretold(
    context: Context,
    package: Package,
    settings: Settings,
    axes: Mapping[str, BatchAxis],
    place: Callable[[File], Path] | None = None,
) -> Iterator[str]:
    """What of the ONNX models keeps, or may keep, the ONNX Runtime of the release that is meant from starting them."""
    from tritonpm.convert.lowering import lacks_kernels
    from tritonpm.package.needs import locale_sentence, locales, operators_without

    release = context.release
    for stage in package.stages:
        own = settings.for_stage(stage.name)
        if stage.format is not Format.ONNX or own.optimised or backend_of(stage, own) != "onnxruntime":
            continue
        file = package.file(stage.model)
        path = place(file) if place else context.blobs.path(file.digest)
        yield from (locale_sentence(f"stage {stage.name}", locale) for locale in locales(path))
        if own.device != "cpu" or not release.onnxruntime:
            continue
        if artefact := axes[stage.name].artefact:  # rewritten: it may use others
            path = context.blobs.path(artefact)
        elif not lacks_kernels(stage, release):
            continue
        for operator in operators_without(path, release.onnxruntime):
            runtime = f"ONNX Runtime {release.onnxruntime} of {release.title}"
            yield f"stage {stage.name} uses {operator}, which {runtime} does not load on a CPU: `load` will fail"
