"""Writing a package back as a .zip: the same package gives the same bytes."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tritonpm.core.files import replacing
from tritonpm.core.types import File, Package
from tritonpm.core.units import MIB
from tritonpm.package import manifest as manifests
from tritonpm.package.document import dump

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say
_MODE = 0o100644 << 16


def write(package: Package, open_file: Callable[[File], BinaryIO], destination: Path) -> None:
    """Write beside `destination` and rename, so that nobody sees half of it. Raises StorageError."""
    text = dump(manifests.of(package))
    with (
        replacing(destination) as aside,
        zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        _add(archive, manifests.FILE, len(text.encode())).write(text.encode())
        for file in sorted(package.files, key=lambda file: file.path):
            with open_file(file) as source, _add(archive, file.path, file.size) as target:
                shutil.copyfileobj(source, target, MIB)


def _add(archive: zipfile.ZipFile, path: str, size: int) -> BinaryIO:
    entry = zipfile.ZipInfo(path, date_time=_EPOCH)
    entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, _MODE, 3
    entry.file_size = size
    return archive.open(entry, "w")  # type: ignore[return-value]
