"""The staging folder: what was handed in, copied once, hashed as it is written; all that follows reads the copy."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tritonpm.core.errors import NotFoundError, PackageError, StorageError, UnsafeError
from tritonpm.core.files import storage_error
from tritonpm.core.types import File
from tritonpm.core.units import MIB, human
from tritonpm.package.limits import Limits
from tritonpm.package.paths import Paths

Progress = Callable[[str, int, int], None]
CHUNK = MIB
_KINDS = {
    stat.S_IFIFO: "is a FIFO", stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device", stat.S_IFBLK: "is a device",
}  # fmt: skip


def silent(path: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass
class Staging:
    """The files of one package while they are copied into `root`; `where` names their source in sentences."""

    root: Path
    where: str
    limits: Limits
    progress: Progress = silent
    total: int = 0  # bytes to come, where known beforehand
    done: int = 0
    files: dict[str, File] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.paths = Paths(self.where, self.limits)

    def expect(self, total: int) -> None:
        """Check that `total` bytes may be unpacked and have room. Raises UnsafeError, StorageError."""
        self._bounded(total)
        free = shutil.disk_usage(self.root).free
        if total > free:
            raise StorageError(
                f"{self.where} needs {human(total)} and {human(free)} are free", where=str(self.root), do="make room"
            )
        self.total = total

    def folder(self, path: str) -> None:
        """Make a folder whose path was claimed."""
        with _storing(self.root / path):
            (self.root / path).mkdir(parents=True, exist_ok=True)

    def write(self, path: str, chunks: Iterable[bytes]) -> File:
        """Write a file whose path was claimed, in chunks; what is hashed is what was written."""
        target = self.root / path
        digest, size = hashlib.sha256(), 0
        with _storing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            out = target.open("xb")
        with _storing(target), out:  # closing writes what is left
            for chunk in chunks:
                self._bounded(self.done + len(chunk))
                with _storing(target):
                    out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                self.done += len(chunk)
                self.progress(path, self.done, max(self.total, self.done))
            with _storing(target):
                out.flush()
        self.files[path] = File(path, f"sha256:{digest.hexdigest()}", size)
        return self.files[path]

    def _bounded(self, total: int) -> None:
        if total > self.limits.total:
            raise UnsafeError(
                f"unpacks to more than {human(self.limits.total)}", where=self.where, do="provide less at a time"
            )


def stage_file(source: Path, path: str, staging: Staging) -> File:
    """Copy one file to `path`. Raises PackageError where it cannot be read or is not a plain file."""
    staging.paths.add(path)
    with opened(source, staging.where) as stream:
        return staging.write(path, _whole(stream, f"{staging.where}: {path!r}"))


def stage_folder(source: Path, staging: Staging) -> None:
    """Copy a folder with all that it holds; links, FIFOs, sockets and devices are refused, wherever they point."""
    files: list[tuple[str, int]] = []
    with _reading(str(source)):
        top = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _list(top, "", staging, files)
        staging.expect(sum(size for _, size in files))
        for path, _ in files:
            with _opened_at(top, path, staging.where) as stream:
                staging.write(path, _whole(stream, f"{staging.where}: {path!r}"))
    finally:
        os.close(top)


def _list(folder: int, prefix: str, staging: Staging, files: list[tuple[str, int]]) -> None:
    """Claim everything in the open folder, depth first; `Paths` bounds the depth and the number."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            path = prefix + entry.name
            staging.paths.add(path, folder=stat.S_ISDIR(status.st_mode))
            check_mode(path, status.st_mode, staging.where)
            names.append((entry.name, status))
    for name, status in sorted(names, key=lambda pair: pair[0]):
        if not stat.S_ISDIR(status.st_mode):
            files.append((prefix + name, status.st_size))
            continue
        staging.folder(prefix + name)
        with _reading(f"{staging.where}: {prefix + name!r}"):
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            _list(inner, f"{prefix}{name}/", staging, files)
        finally:
            os.close(inner)


def linked(where: str, path: str = "") -> UnsafeError:
    """The refusal of a link."""
    do = "put a plain file in its place (from the Hugging Face hub: `hf download --local-dir FOLDER`)"
    return UnsafeError(f"{path!r} is a symbolic link" if path else "is a symbolic link", where=where, do=do)


def check_mode(path: str, mode: int, where: str) -> None:
    """Refuse what is neither a plain file nor a folder, and files that run as somebody else. Raises UnsafeError."""
    if stat.S_ISLNK(mode):
        raise linked(where, path)
    if kind := _KINDS.get(stat.S_IFMT(mode)):
        raise UnsafeError(f"{path!r} {kind}", where=where, do="put a plain file in its place")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeError(f"{path!r} is not a plain file", where=where, do="put a plain file in its place")
    if not stat.S_ISDIR(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
        raise UnsafeError(f"{path!r} has its setuid or setgid bit set", where=where, do="clear it (chmod ug-s)")


@contextmanager
def opened(source: Path, where: str) -> Iterator[BinaryIO]:
    """A plain file open for reading; never a link, and a FIFO does not block. Raises PackageError, NotFoundError."""
    with _opened_at(None, str(source), where) as stream:
        yield stream


@contextmanager
def _opened_at(folder: int | None, path: str, where: str) -> Iterator[BinaryIO]:
    with _reading(f"{where}: {path!r}" if folder is not None else path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 (a descriptor, not a path)
        check_mode(path, os.fstat(descriptor).st_mode, where)
        yield stream


def _whole(stream: BinaryIO, where: str) -> Iterator[bytes]:
    """An open file in pieces of at most `CHUNK` bytes; one that grows or shrinks meanwhile is not followed for ever."""
    left = os.fstat(stream.fileno()).st_size
    while True:
        with _reading(where):
            chunk = stream.read(min(CHUNK, left + 1))
        left -= len(chunk)
        if left < 0 or (left and not chunk):
            raise PackageError("changed its size while it was read", where=where, do="import it when it is complete")
        if not chunk:
            return
        yield chunk


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError("there is no such file", where=what, do="check the path") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise linked(what) from None
        raise PackageError(f"cannot be read ({error.strerror})", where=what, do="check the file") from None


@contextmanager
def _storing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, target) from None
