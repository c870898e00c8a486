"""Reading what came in: archives, the manifest, signatures by format. Knows nothing of Triton's serving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.package.limits import Limits, require_bounded
from tritonpm.package.staging import Progress, silent

if TYPE_CHECKING:
    from typing import BinaryIO

    from tritonpm.core.types import File, Format, Package, Signature

__all__ = ["Limits", "export", "inspect", "read", "read_signature"]


def read(
    source: Path,
    staging: Path,
    *,
    name: str | None = None,
    allow_code: bool = False,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    progress: Progress = silent,
) -> Package:
    """Copy or unpack `source` into `staging` (an empty folder that the caller owns and deletes), check it, describe it.

    `source` is a .zip or folder with package.yaml, a bare model file, or a Triton model folder; the package's files
    lie at staging/<path>. `progress` is called with (path, bytes done, bytes in all).
    Raises NotFoundError, PackageError (ManifestError, UnsafeError), StorageError, UsageError (no valid `name`).
    """
    from tritonpm.package.reader import assemble
    from tritonpm.package.tree import stage

    package = assemble(stage(source, staging, limits, progress), name, allow_code, limits)
    require_bounded(package, limits)
    return package


def inspect(path: Path) -> Package:
    """Describe a file, zip or folder; nothing is kept. Raises what `read` does."""
    from tritonpm.core.scratch import temporary

    with temporary("inspect") as staging:
        return read(path, staging, allow_code=True)


def export(package: Package, open_file: Callable[[File], BinaryIO], destination: Path, *, stored: bool = False) -> None:
    """Write `package` as a .zip that `read` reads back as the same package; the same package gives the same bytes.

    `open_file` opens a file's content for reading. `stored`: not compressed. Raises StorageError.
    """
    from tritonpm.package.exporter import write

    write(package, open_file, destination, stored=stored)


def read_signature(path: Path, format: Format | None = None) -> tuple[Format, Signature]:
    """The format and tensors of a model file. Raises PackageError, also where they are not in it."""
    from tritonpm.package.signature import read_signature

    return read_signature(path, format)
