"""What kind of file a model is and what its tensors are, without running it and without reading its weights."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tritonpm.core.errors import PackageError
from tritonpm.core.types import Format, Needs, Signature
from tritonpm.package.limits import Limits

SUFFIXES = {
    ".onnx": Format.ONNX,
    ".xml": Format.OPENVINO,
    ".plan": Format.TENSORRT, ".engine": Format.TENSORRT, ".trt": Format.TENSORRT,
    ".dlkmt": Format.TENSORRT,
    ".pt": Format.TORCHSCRIPT, ".pth": Format.TORCHSCRIPT, ".torchscript": Format.TORCHSCRIPT,
    ".pt2": Format.TORCH_EXPORT,
}  # fmt: skip
CONVERTED = {".keras": Format.KERAS, ".tflite": Format.TFLITE, ".pdmodel": Format.PADDLE}  # served by nothing here
SAVED_MODEL = "saved_model.pb"  # what makes a folder a TensorFlow SavedModel, which is served by nothing here, either
PROGRAMS = (Format.TORCHSCRIPT, Format.TORCH_EXPORT)  # of PyTorch, which tell their tensors only to it
CONVERTIBLE = {**CONVERTED, **{suffix: format for suffix, format in SUFFIXES.items() if format in PROGRAMS}}
SPEAKING = (Format.ONNX, Format.OPENVINO)  # formats whose files tell their tensors


@dataclass(frozen=True)
class InspectedModel:
    """What a model file tells: `files` are all that it needs, itself included, relative to its folder."""

    format: Format
    signature: Signature | None
    files: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    softmax: bool | None = None  # whether an output is that of one
    needs: Needs = field(default_factory=Needs)
    starts: int = 0  # at which byte of its file the model begins: what an exporter wrote before it is no part of it


def format_of(path: str) -> Format | None:
    """The format that a file's name says."""
    return SUFFIXES.get(PurePosixPath(path).suffix.lower())


def to_convert(name: str) -> str:
    """What to do with a model that nothing here serves as it is."""
    return f"`tritonpm convert {shlex.quote(name)} --to openvino -o OUT` makes a model.xml of it, to be imported"


def require_served(name: str, where: str) -> None:
    """Raise PackageError where a file of that name is a model that nothing here serves as it is."""
    suffix = PurePosixPath(name).suffix.lower()
    if other := CONVERTED.get(suffix):
        raise PackageError(f"nothing here serves {other.value} as it is", where=where, do=to_convert(name))
    if suffix.startswith(".dlk") and suffix not in SUFFIXES:
        what = "is an archive of Mech-DLK, which only its own SDK reads"
        raise PackageError(what, where=where, do="export the model as ONNX in Mech-DLK, and provide that")


def inspect_model(path: Path, where: str, limits: Limits, format: Format | None = None) -> InspectedModel:
    """Read the model at `path`. Raises PackageError, UnsafeError."""
    from tritonpm.package.signature import onnx, openvino, tensorrt, torch

    format = format or format_of(path.name)
    if path.stat().st_size == 0:
        raise PackageError("is empty", where=where, do="copy it again")
    if format in SPEAKING:
        file = (onnx if format is Format.ONNX else openvino).read(path, where, limits)
        return InspectedModel(
            format, file.signature, (path.name, *file.others), file.metadata, file.softmax, file.needs
        )
    if format is Format.TENSORRT:
        starts, metadata = tensorrt.read(path, where, limits)
        return InspectedModel(format, None, (path.name,), metadata, starts=starts)
    if format in PROGRAMS:
        torch.check(path, format, where, limits)
    else:
        require_served(path.name, where)
        known = ", ".join(sorted(SUFFIXES))
        raise PackageError("is not a model that tritonpm knows", where=where, do=f"provide one of {known}")
    return InspectedModel(format, None, (path.name,))


def read_signature(path: Path, format: Format | None = None) -> tuple[Format, Signature]:
    """The format and tensors of one file. Raises PackageError, also where the format does not describe its tensors."""
    model = inspect_model(path, path.name, Limits(), format)
    if model.signature is None:
        raise PackageError(
            "does not describe its tensors", where=path.name, do="give them as `signature` in a package.yaml"
        )
    return model.format, model.signature
