"""Files that survive a power cut, and the sentence where they cannot be written."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonpm.core.errors import StorageError
from tritonpm.core.units import MIB

_CHUNK = MIB
_FULL = (errno.ENOSPC, errno.EDQUOT)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(place: Path, content: bytes) -> None:
    """Put `content` in the place of what was there: after a crash the file holds all of the old or all of the new.

    Raises StorageError.
    """
    with replacing(place) as aside:
        aside.write_bytes(content)


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """A path beside `place` to write to: what is there at the end takes its place, and after a failure it is gone.

    Its name is its own, so that of two who write at the same time neither sees the other's half. Raises StorageError.
    """
    aside = place.with_name(f".{place.name}.{os.urandom(4).hex()}.new")
    try:
        yield aside
        sync(aside)
        aside.replace(place)
        sync(place.parent)
    except OSError as error:
        raise storage_error(error, place) from None
    finally:
        with suppress(OSError):
            aside.unlink()


def digest_of(path: Path) -> str:
    """`sha256:<hex>` of a file."""
    import hashlib  # half of what `tritonpm list` would import

    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def digest_of_bytes(content: bytes) -> str:
    """`sha256:<hex>` of what a small file holds."""
    import hashlib  # as above

    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def link_or_copy(source: Path, place: Path) -> None:
    """What `source` holds at `place` too: the same bytes on the disk where that can be. Raises OSError."""
    try:
        os.link(source, place)
    except OSError:  # another file system, or one without hard links
        import shutil

        shutil.copyfile(source, place)


def storage_error(error: OSError, where: Path) -> StorageError:
    """The sentence for a failed write."""
    full = error.errno in _FULL
    return StorageError(
        "the disk is full" if full else f"cannot be written ({error.strerror})",
        where=str(where),
        do="make room and try again" if full else "check the disk and its permissions",
    )


def system_error(error: OSError) -> StorageError:
    """The sentence where the operating system refused something that nobody had asked it about before."""
    if error.errno in _FULL:
        return storage_error(error, Path(str(error.filename or "")))
    return StorageError(
        f"the operating system refused it ({error.strerror or error})",
        where=str(error.filename or ""),
        do="check what lies there, the disk and its permissions",
    )
