"""TensorRT plans. What they hold only TensorRT can tell, and only on the GPU they were built for."""

from __future__ import annotations

from pathlib import Path

from tritonpm.core.errors import PackageError

MAGIC = (b"ftrt", b"ptrt")  # how TensorRT's serialized engines begin


def check(path: Path, where: str) -> None:
    """Raises PackageError where the file is no plan."""
    with path.open("rb") as stream:
        if stream.read(4) not in MAGIC:
            raise PackageError("is no TensorRT plan", where=where, do="build or copy it again")
