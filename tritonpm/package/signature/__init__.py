"""What kind of file a model is and what its tensors are, without running it and without reading its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tritonpm.data import Format, Signature
from tritonpm.errors import PackageError
from tritonpm.package.limits import Limits

SUFFIXES = {
    ".onnx": Format.ONNX,
    ".xml": Format.OPENVINO,
    ".plan": Format.TENSORRT, ".engine": Format.TENSORRT, ".trt": Format.TENSORRT,
    ".pt": Format.TORCHSCRIPT, ".pth": Format.TORCHSCRIPT, ".torchscript": Format.TORCHSCRIPT,
    ".pt2": Format.TORCH_EXPORT,
}  # fmt: skip
SPEAKING = (Format.ONNX, Format.OPENVINO)  # formats whose files tell their tensors


@dataclass(frozen=True)
class Model:
    """What a model file tells: `files` are all that it needs, itself included, relative to its folder."""

    format: Format
    signature: Signature | None
    files: tuple[str, ...]


def format_of(path: str) -> Format | None:
    """The format that a file's name says."""
    return SUFFIXES.get(PurePosixPath(path).suffix.lower())


def inspect_model(path: Path, where: str, limits: Limits, format: Format | None = None) -> Model:
    """Read the model at `path`. Raises PackageError, UnsafeError."""
    format = format or format_of(path.name)
    if format is Format.ONNX:
        from tritonpm.package.signature import onnx

        signature, external = onnx.read(path, where, limits)
        return Model(format, signature, (path.name, *external))
    raise PackageError(
        "is no model that tritonpm knows", where=where, do=f"hand in one of {', '.join(sorted(SUFFIXES))}"
    )


def read_signature(path: Path, format: Format | None = None, limits: Limits = Limits()) -> tuple[Format, Signature]:  # noqa: B008
    """The format and tensors of one file. Raises PackageError, also where the format does not tell its tensors."""
    model = inspect_model(path, path.name, limits, format)
    if model.signature is None:
        raise PackageError(
            "does not tell its tensors", where=path.name, do="give them as `signature` in a package.yaml"
        )
    return model.format, model.signature
