"""`serve: image`: a package with a front, as what is rendered of it: pictures in, objects out, on the server.

Before the package's first stage comes one that makes its inputs of pictures, behind the last one that says what its
outputs hold. Both run on the CPU by ONNX Runtime, whatever serves the model between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.pieces import BEFORE_MODEL, PLACES
from tritonpm.convert.front.pieces import objects as objects_piece
from tritonpm.convert.front.pieces import pictures as pictures_piece
from tritonpm.core.errors import RenderError
from tritonpm.core.files import digest_of_bytes
from tritonpm.core.types import BatchAxis, File, Format, Optimised, Package, Signature, Stage, Task
from tritonpm.operations.meanings import meaning_of
from tritonpm.repository.cascade import wire
from tritonpm.settings.settings import TENSORS, Settings

if TYPE_CHECKING:
    from tritonpm.convert.front.pieces import Piece
    from tritonpm.operations.context import Context

PICTURES, OBJECTS = "pictures", "objects"
_FOLDER = "front\0"  # a path that no package can have of its own
# Of both pieces: they are small, and they take pictures as they come, of whatever size.
_OWN: Mapping[str, object] = {
    "device": "cpu", "gpus": (), "group_per_gpu": False, "backend": "onnxruntime", "optimizer": "none",
    "precision": "FP32", "accelerators": (), "parameters": {}, "cuda_graphs": False, "dynamic_batching": False,
    "preferred_batch_sizes": (), "warmup": False,
}  # fmt: skip


@dataclass(frozen=True)
class Fronted:
    """What is rendered in place of a package."""

    package: Package
    settings: Settings
    axes: Mapping[str, BatchAxis]


def fronted(
    context: Context, package: Package, settings: Settings, axes: Mapping[str, BatchAxis],
    optimised: Mapping[str, Optimised],
) -> Fronted:  # fmt: skip
    """The package with its front, where the settings ask for one. Raises RenderError where it can have none."""
    if settings.serve == TENSORS:
        return Fronted(package, settings, axes)
    first, last = package.stages[0], package.stages[-1]
    try:
        before, behind = _pieces(package, settings, axes, optimised)
    except ConversionError as error:
        raise RenderError(error.what, where=package.name, do=error.do) from None
    taken = {stage.name for stage in package.stages}
    pictures, objects = _free(PICTURES, taken), _free(OBJECTS, taken)
    files = {name: _kept(context, name, piece) for name, piece in ((pictures, before), (objects, behind))}
    sources = {
        BEFORE_MODEL + tensor.name: f"{last.name}.{tensor.name}" for tensor in _served(last, axes, optimised).outputs
    }
    sources[PLACES] = f"{pictures}.{PLACES}"
    stages = (
        _stage(pictures, before, Task.PREPROCESSING, files[pictures], {}),
        *_bound(package, pictures, before),
        _stage(objects, behind, Task.POSTPROCESSING, files[objects], sources),
    )
    return Fronted(
        replace(package, stages=stages, files=(*package.files, *files.values())),
        replace(settings, stages={**settings.stages, pictures: _OWN, objects: _OWN}),
        {**axes, pictures: _axis(axes[first.name]), objects: _axis(axes[last.name])},
    )


def _pieces(
    package: Package, settings: Settings, axes: Mapping[str, BatchAxis], optimised: Mapping[str, Optimised]
) -> tuple[Piece, Piece]:
    """Raises ConversionError where there is no front for what the package says."""
    meaning, first, last = meaning_of(package, settings), package.stages[0], package.stages[-1]
    if meaning.preprocess is None or meaning.decode is None:
        raise ConversionError(
            "does not say what its tensors mean, so it can take no pictures",
            do="say its preprocess and decode in package.yaml or with `tritonpm set`",
        )
    before = pictures_piece(
        meaning.preprocess, _served(first, axes, optimised), batched=axes[first.name].kind != "none"
    )
    behind = objects_piece(
        meaning.decode, _served(last, axes, optimised), meaning.labels,
        batched=axes[last.name].kind != "none", raw=settings.raw_outputs,
    )  # fmt: skip
    return before, behind


def _served(stage: Stage, axes: Mapping[str, BatchAxis], optimised: Mapping[str, Optimised]) -> Signature:
    made = optimised.get(stage.name)
    return made.signature if made and made.files else axes[stage.name].signature or stage.signature


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)


def _kept(context: Context, name: str, piece: Piece) -> File:
    """A piece as a blob, as a file of the package."""
    digest = digest_of_bytes(piece.model)
    if not context.blobs.has(digest):
        with context.workspace.scratch("front") as folder:
            (folder / "model.onnx").write_bytes(piece.model)
            context.blobs.put(folder / "model.onnx", digest, move=True)
    return File(f"{_FOLDER}{name}.onnx", digest, len(piece.model))


def _stage(name: str, piece: Piece, task: Task, file: File, sources: Mapping[str, str]) -> Stage:
    bound = tuple((tensor.name, sources[tensor.name]) for tensor in piece.signature.inputs if sources)
    return Stage(name, task, Format.ONNX, file.path, (file.path,), piece.signature, bindings=bound)


def _bound(package: Package, pictures: str, before: Piece) -> tuple[Stage, ...]:
    """The package's own stages: what they take from outside comes from the pictures, where those give it."""
    given = {tensor.name for tensor in before.signature.outputs}
    sources: dict[str, list[tuple[str, str]]] = {stage.name: [] for stage in package.stages}
    for edge in wire(package).edges:
        source = edge.source_stage or (pictures if edge.source_tensor in given else "")
        sources[edge.stage].append((edge.tensor, f"{source}.{edge.source_tensor}" if source else edge.source_tensor))
    return tuple(replace(stage, bindings=tuple(sources[stage.name])) for stage in package.stages)


def _axis(model: BatchAxis) -> BatchAxis:
    """Of a piece: it has rows where the model has."""
    if model.kind == "none":
        return BatchAxis("none", model.reason)
    return BatchAxis("proved", "every picture is handled for itself")
