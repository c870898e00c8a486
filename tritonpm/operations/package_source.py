"""Where a package is handed in from: a path, or an address that is fetched into quarantine first."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm import registry
from tritonpm.core.errors import BusyError, in_place_of
from tritonpm.core.files import digest_of

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.registry.transfer import Bounds


@contextmanager
def package_source(context: Context, source: str | Path, bounds: Bounds | None = None) -> Iterator[Path]:
    """The file or folder at a path or an address; what was fetched is gone at the end. Raises what `fetch` raises."""
    if isinstance(source, str) and registry.is_address(source):
        with fetched(context, source, bounds=bounds) as file:
            yield file
    else:
        yield Path(source)


def fetch(context: Context, url: str, digest: str = "", bounds: Bounds | None = None) -> Path:
    """The file at `url` in quarantine, where it stays; fetched only where it is not there yet.

    What had come when a fetch broke off stays as well, and the next one goes on with it.
    Raises RegistryError, NotFoundError, UsageError; BusyError where another process fetches it.
    """
    from filelock import FileLock, Timeout

    from tritonpm.registry.transfer import Bounds, DownloadTask

    module, folder = registry.module(url), _place(context, url, digest)
    if digest:
        registry.require_digest(digest)
    folder.mkdir(parents=True, exist_ok=True)
    there = next(folder.glob("*.zip"), None)
    if digest and there and digest_of(there) == digest:
        return there
    try:
        with (
            FileLock(folder.with_suffix(".lock"), timeout=0),
            context.progress(f"Fetching {registry.file_name(url)}") as report,
        ):
            return module.fetch(url, folder, DownloadTask(digest, bounds or Bounds(), report))
    except Timeout:
        raise BusyError("is being fetched already", where=registry.shown(url), do="wait for it") from None


@contextmanager
def fetched(context: Context, url: str, digest: str = "", bounds: Bounds | None = None) -> Iterator[Path]:
    """The file at `url`, gone at the end, whatever was made of it."""
    file = fetch(context, url, digest, bounds)
    try:
        with in_place_of(str(file), registry.shown(url)):
            yield file
    finally:
        shutil.rmtree(_place(context, url, digest), ignore_errors=True)


def _place(context: Context, url: str, digest: str) -> Path:
    key = hashlib.sha256(f"{url}\n{digest}".encode()).hexdigest()[:16]
    return context.workspace.quarantine / key
