"""Files that survive a power cut, and the sentence where they cannot be written."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tritonpm.core.errors import StorageError
from tritonpm.core.units import MIB

_CHUNK = MIB
_FULL = (errno.ENOSPC, errno.EDQUOT)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe in its place is not waited for
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_state(path: Path) -> bytes:
    """What a small file of our own holds; a pipe or device in its place is not waited for. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        return stream.read()


def require_file(path: Path) -> None:
    """Raise StorageError where something lies there that is none: who opens a pipe waits for its other end."""
    if (path.is_symlink() or path.exists()) and not path.is_file():
        raise StorageError("is not a file", where=str(path), do="check what is there, and move it away")


def write_atomically(place: Path, content: bytes) -> None:
    """Put `content` in the place of what was there: after a crash the file holds all of the old or all of the new.

    Raises StorageError.
    """
    with replacing(place) as aside:
        aside.write_bytes(content)


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """A path to write to: what is there at the end takes `place`, and after a failure it is gone. Raises StorageError.

    The file beside `place` has a name of its own, so that of two who write at the same time neither sees the other's
    half; and the path is the open file's, so that nobody who may write into the folder puts a link in its way.
    """
    aside = place.with_name(f".{os.urandom(8).hex()}.new")
    try:
        made = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise storage_error(error, place) from None
    try:
        yield Path(f"/proc/self/fd/{made}")
        os.fsync(made)
        if not os.path.samestat(aside.lstat(), os.fstat(made)):
            raise StorageError("was replaced while it was written", where=str(aside), do="check who writes there")
        aside.replace(place)
        sync(place.parent)
    except OSError as error:
        raise storage_error(error, place) from None
    finally:
        os.close(made)
        with suppress(OSError):
            aside.unlink()


def digest_of(path: Path) -> str:
    """`sha256:<hex>` of a file."""
    with path.open("rb") as stream:
        return digest_of_stream(stream)


def digest_of_stream(stream: IO[bytes]) -> str:
    """`sha256:<hex>` of what is left to read of a stream."""
    import hashlib  # half of what `tritonpm list` would import

    digest = hashlib.sha256()
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


def is_full(error: OSError) -> bool:
    """Whether there is no room for what was to be written."""
    return error.errno in _FULL


def storage_error(error: OSError, where: Path) -> StorageError:
    """The sentence for a failed write."""
    full = is_full(error)
    return StorageError(
        "the disk is full" if full else f"cannot be written ({error.strerror})",
        where=str(where),
        do="make room and try again" if full else "check the disk and its permissions",
    )


def system_error(error: OSError) -> StorageError:
    """The sentence where the operating system refused something that nobody had asked it about before."""
    if is_full(error):
        return storage_error(error, Path(str(error.filename or "")))
    return StorageError(
        f"the operating system refused it ({error.strerror or error})",
        where=str(error.filename or ""),
        do="check what is there, the disk and its permissions",
    )
