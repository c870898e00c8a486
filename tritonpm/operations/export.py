"""`tritonpm export`: a package written back as a .zip that `import` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tritonpm.core.errors import PackageError
from tritonpm.core.types import File
from tritonpm.operations.audit import audited

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@audited("export")
def export(context: Context, name: str, destination: Path, *, force: bool = False, stored: bool = False) -> Path:
    """Write a package as a .zip, `stored` without compressing it. Raises PackageError where the file exists."""
    from tritonpm.package import export as written

    package = context.catalogue.get(name).package
    if destination.exists() and not force:
        raise PackageError("exists already", where=str(destination), do="choose another --output, or use --force")

    def open_file(file: File) -> BinaryIO:
        return context.blobs.path(file.digest).open("rb")

    with context.progress(f"Writing {destination.name}"):
        written(package, open_file, destination, stored=stored)
    return destination
