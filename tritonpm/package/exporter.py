"""Writing a package back as a .zip: the same package gives the same bytes."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO

from tritonpm.core.files import replacing
from tritonpm.core.types import File, Package
from tritonpm.core.units import MIB
from tritonpm.package import manifest as manifests
from tritonpm.package.document import dump

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say
_MODE = 0o100644 << 16


def write(package: Package, open_file: Callable[[File], BinaryIO], destination: Path, *, stored: bool = False) -> None:
    """Write beside `destination` and rename, so that nobody sees half of it. Raises StorageError.

    What is `stored` is as long as its files, and has the same bytes whichever zlib there is.
    """
    text = dump(manifests.of(package)).encode()
    files = {file.path: (file.size, partial(open_file, file)) for file in package.files}
    pack({**files, manifests.FILE: (len(text), partial(BytesIO, text))}, destination, stored=stored)


def pack(files: Mapping[str, tuple[int, Callable[[], IO[bytes]]]], destination: Path, *, stored: bool) -> None:
    """Write files as a .zip, the manifest first: path → (size in bytes, what opens it). Raises StorageError."""
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with replacing(destination) as aside, zipfile.ZipFile(aside, "w", method, compresslevel=1) as archive:
        for path in sorted(files, key=lambda path: (path != manifests.FILE, path)):
            size, opened = files[path]
            entry = zipfile.ZipInfo(path, date_time=_EPOCH)
            entry.compress_type, entry.external_attr, entry.create_system, entry.file_size = method, _MODE, 3, size
            with opened() as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, MIB)
