"""`tritonpm pull`: a package from a registry, fetched into quarantine, then imported as any other."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpm import registry
from tritonpm.core.errors import BusyError, in_place_of
from tritonpm.core.files import digest_of
from tritonpm.operations.audit import audited
from tritonpm.operations.import_package import import_package
from tritonpm.operations.upgrade import upgrade

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.operations.load import Loaded
    from tritonpm.operations.show import PackageDetails
    from tritonpm.registry.transfer import Bounds


@audited("pull", "digest")
def pull(
    context: Context,
    url: str,
    *,
    digest: str = "",
    name: str | None = None,
    bounds: Bounds | None = None,
    **options: Any,
) -> PackageDetails:
    """Fetch a package and import it, with the `options` of `import_package`.

    Raises RegistryError and what `import_package` raises.
    """
    if name is not None:
        context.catalogue.require_free(name)
    with fetched(context, url, digest, bounds) as file:
        return import_package(context, file, name=name, **options)


def bring_in(context: Context, source: str, **options: Any) -> PackageDetails:
    """Import what lies at a path, or fetch it where the source is an address. Raises what `pull` raises."""
    if registry.is_address(source):
        return pull(context, source, **options)
    return import_package(context, Path(source), **options)


@audited("upgrade", "digest")
def pull_upgrade(context: Context, name: str, url: str, *, digest: str = "", allow_code: bool = False) -> Loaded | None:
    """Fetch a package and put it in the place of one that is there. Raises what `pull` and `upgrade` raise."""
    context.catalogue.get(name)
    with fetched(context, url, digest) as file:
        return upgrade(context, name, file, allow_code=allow_code)


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
