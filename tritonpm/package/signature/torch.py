"""TorchScript and PyTorch exports: zip archives, recognised by their members. Nothing in them is unpickled or run."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tritonpm.core.errors import PackageError
from tritonpm.core.types import Format
from tritonpm.package.archive import end_of_directory
from tritonpm.package.limits import Limits


def check(path: Path, format: Format, where: str, limits: Limits) -> None:
    """Raises PackageError where the file is none of its format."""
    names = _members(path, where, limits)
    exported = any(n.endswith(("serialized_exported_program.json", "archive_format")) for n in names)
    scripted = any("/code/" in n for n in names) and any(n.endswith("/constants.pkl") for n in names)
    if format is Format.TORCH_EXPORT and not exported:
        raise PackageError("is not a PyTorch export", where=where, do="write it with torch.export.save")
    if format is Format.TORCHSCRIPT and not scripted:
        pickled = any(n.endswith("data.pkl") for n in names)
        what = "is a pickled checkpoint, not a TorchScript model" if pickled else "is not a TorchScript model"
        raise PackageError(what, where=where, do="write it with torch.jit.save, or export it to ONNX")


def _members(path: Path, where: str, limits: Limits) -> list[str]:
    try:
        with path.open("rb") as stream:
            _, length, _ = end_of_directory(stream, path.stat().st_size, where)
            if length > limits.graph:
                raise PackageError("holds too many members", where=where, do="export it again")
            with zipfile.ZipFile(stream) as archive:
                return archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise PackageError("is not a zip, or is cut off", where=where, do="provide the whole file") from None
