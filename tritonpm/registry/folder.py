"""Packages in a plain folder, a share or a stick: `file:///srv/packages/bolts.zip`, or the path alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tritonpm.core.errors import NotFoundError, RegistryError
from tritonpm.core.files import digest_of, replacing, storage_error
from tritonpm.registry import BESIDE, Pushed, beside, file_name, is_address
from tritonpm.registry.transfer import CHUNK, Cut, DownloadTask, Part, Source, download, fetch_beside


def fetch(url: str, folder: Path, task: DownloadTask) -> Path:
    """A copy of the file at `url`. Raises RegistryError, NotFoundError."""
    path = _path(url)
    target = folder / file_name(path.as_posix())
    for kind in BESIDE:
        fetch_beside(_source(beside(path, kind)), target, kind, str(path), task)
    return download(_source(path), target, str(path), task)


def push(file: Path, url: str, *, force: bool = False) -> Pushed:
    """Copy a file to `url`; what readers look at, the file itself, is there last. Raises RegistryError."""
    path, digest = _path(url), digest_of(file)
    if path.exists() and not force and digest_of(path) != digest:
        raise RegistryError("something else is there", where=str(path), do="choose another name, or use --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for kind in BESIDE:
            if beside(file, kind).is_file():
                _put(beside(file, kind), beside(path, kind))
            else:
                beside(path, kind).unlink(missing_ok=True)
        _put(file, path)
    except OSError as error:
        raise storage_error(error, path) from None
    return Pushed.of(path.resolve().as_uri(), digest, file)


def _put(file: Path, path: Path) -> None:
    with replacing(path) as aside:
        shutil.copyfile(file, aside)


def _path(url: str) -> Path:
    path = Path(unquote(urlsplit(url).path)) if is_address(url) else Path(url).resolve()
    if not path.name:  # file://, or a root
        raise NotFoundError("names no file", where=url, do="name the package's .zip")
    return path


def _source(path: Path) -> Source:
    @contextmanager
    def open_from(start: int) -> Iterator[Part]:
        if not path.is_file():
            raise NotFoundError("there is no such file", where=str(path), do="name the package's .zip")
        try:
            with path.open("rb") as stream:
                stream.seek(start)
                yield Part(start, path.stat().st_size, iter(lambda: stream.read(CHUNK), b""))
        except OSError as error:
            raise Cut(error.strerror) from None

    return open_from
