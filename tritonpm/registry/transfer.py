"""One file from anywhere: bounded in size and time, gone on with where it broke off, and checked before it counts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from tritonpm.core.errors import NotFoundError, RegistryError, StorageError
from tritonpm.core.files import digest_of, storage_error, sync
from tritonpm.core.units import MIB, human
from tritonpm.package.limits import Limits
from tritonpm.registry import beside

CHUNK = MIB
_AGAIN = "run it again: it goes on where it stopped"
_PUBLISHER = "ask who published it"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds


def _unwatched(done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Bounds:
    """The most that a fetch may cost: bytes, seconds of silence, seconds in all, attempts in a row without a byte."""

    size: int = Limits().total
    silence: float = 30.0
    duration: float = 6 * 3600.0
    attempts: int = 5


@dataclass(frozen=True)
class DownloadTask:
    """What shall come of a fetch: the file's digest ("" where nobody has told it), within which bounds."""

    digest: str = ""
    bounds: Bounds = field(default_factory=Bounds)
    report: Callable[[int, int], None] = _unwatched


@dataclass(frozen=True)
class Part:
    """What a source gives: from which byte on, of how many in all (None: it does not say), in chunks."""

    start: int
    total: int | None
    chunks: Iterator[bytes]


class Cut(Exception):  # noqa: N818 (no error yet: the next attempt may do)
    """The transfer broke off, or the source is busy."""


Source = Callable[[int], AbstractContextManager[Part]]  # the file from a byte on; raises Cut, RegistryError


def download(source: Source, target: Path, where: str, task: DownloadTask) -> Path:
    """The file that `source` gives, at `target`. Raises RegistryError, StorageError; what has come so far stays.

    Only where the digest is known may an earlier call's part be gone on with: else it may be of another file.
    """
    if task.digest and target.is_file() and digest_of(target) == task.digest:
        return target
    partial = target.with_name(f".{target.name}.partial")
    if not task.digest:
        partial.unlink(missing_ok=True)
    gone_on = partial.exists()
    _fill(source, partial, where, task)
    if task.digest and (digest := digest_of(partial)) != task.digest:
        partial.unlink()
        if gone_on:
            return download(source, target, where, task)
        raise RegistryError(
            f"is {digest}, and {task.digest} was asked for",
            where=where,
            do=_PUBLISHER,
        )
    partial.replace(target)
    return target


def fetch_beside(source: Source | None, target: Path, kind: str, where: str, task: DownloadTask) -> None:
    """The signature or attestations of what is to be fetched to `target`, before it, where `source` has them."""
    file = beside(target, kind)
    file.unlink(missing_ok=True)
    if source is None:
        return
    with suppress(NotFoundError):
        download(source, file, where + kind, DownloadTask(bounds=replace(task.bounds, size=MIB)))


@contextmanager
def settled(where: str) -> Iterator[None]:
    """For what is not tried again: turn Cut into RegistryError."""
    try:
        yield
    except Cut as cut:
        raise RegistryError(str(cut), where=where, do="check that it is reachable, and run it again") from None


def _fill(source: Source, partial: Path, where: str, task: DownloadTask) -> None:
    ends, fruitless = time.monotonic() + task.bounds.duration, 0
    while True:
        have = partial.stat().st_size if partial.exists() else 0
        try:
            with source(have) as part:
                _append(part, partial, where, task, ends)
            return
        except Cut as cut:
            came = partial.stat().st_size if partial.exists() else 0
            fruitless = 0 if came > have else fruitless + 1
            if fruitless >= task.bounds.attempts:
                raise RegistryError(f"broke off after {human(came)} ({cut})", where=where, do=_AGAIN) from None
            time.sleep(min(_FIRST_PAUSE * 2**fruitless, _LONGEST_PAUSE))


def _append(part: Part, partial: Path, where: str, task: DownloadTask, ends: float) -> None:
    """Write a part at its place; what lay behind that place goes."""
    total = part.total
    _require_room(max(total or 0, part.start), partial.parent, where, task.bounds)
    with _writing(partial) as out:
        out.seek(part.start)
        out.truncate()
        done = part.start
        for chunk in part.chunks:
            done += len(chunk)
            if done > (task.bounds.size if total is None else total):
                raise RegistryError(f"is longer than {human(total or task.bounds.size)}", where=where, do=_PUBLISHER)
            if time.monotonic() > ends:
                raise RegistryError(f"took longer than {task.bounds.duration:.0f} s", where=where, do=_AGAIN)
            _written(out, chunk, partial)
            task.report(done, total or 0)
    if total is not None and done < total:
        raise Cut(f"of {human(total)}")
    sync(partial)


def _writing(partial: Path) -> BinaryIO:
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        raise storage_error(error, partial) from None


def _written(out: BinaryIO, chunk: bytes, partial: Path) -> None:
    try:
        out.write(chunk)
    except OSError as error:
        raise storage_error(error, partial) from None


def _require_room(total: int, folder: Path, where: str, bounds: Bounds) -> None:
    if total > bounds.size:
        raise RegistryError(f"is {human(total)} long, and {human(bounds.size)} is the most", where=where, do=_PUBLISHER)
    free = shutil.disk_usage(folder if folder.is_dir() else folder.parent).free
    if total > free:
        raise StorageError(f"{human(total)} are to come and {human(free)} are free", where=str(folder), do="make room")
