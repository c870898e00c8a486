"""Packages from and to registries: fetched into quarantine, then imported as any other; written as a .zip, then put."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpm import registry
from tritonpm.catalogue.blobs import digest_of
from tritonpm.core.errors import BusyError
from tritonpm.registry import signing

if TYPE_CHECKING:
    from tritonpm.operations import views
    from tritonpm.operations.context import Context
    from tritonpm.operations.switch import Switching
    from tritonpm.registry import Pushed
    from tritonpm.registry.transfer import Bounds


class Sharing:
    """The registries, seen from a manager's workspace."""

    def __init__(self, context: Context, bounds: Bounds | None = None) -> None:
        self.context, self.bounds = context, bounds

    def pull(self, url: str, *, digest: str = "", name: str | None = None, **told: Any) -> views.PackageDetails:
        """Fetch a package and import it, with what `import` takes. Raises RegistryError and what `import` raises."""
        if name is not None:
            self.context.catalogue.require_free(name)
        with self._fetched(url, digest) as file:
            return import_package(self.context, file, name=name, **told)

    def upgrade(
        self, switching: Switching, name: str, url: str, *, digest: str = "", allow_code: bool = False
    ) -> views.Loaded | None:
        """Fetch a package and put it in the place of one that is there. Raises what `pull` and `upgrade` raise."""
        self.context.catalogue.get(name)
        with self._fetched(url, digest) as file:
            return switching.upgrade(name, file, allow_code=allow_code)

    def push(self, name: str, url: str, *, signer: signing.Signer | None = None, force: bool = False) -> Pushed:
        """Write a package as a .zip, sign it where a signer is given, and put both. Raises RegistryError.

        An address that ends in a slash is a folder: there the file is called NAME-VERSION.zip.
        """
        package, module = self.context.catalogue.get(name).package, registry.module(url)
        with self.context.workspace.scratch("push") as folder:
            file = export(self.context, name, folder / f"{name}.zip")
            if signer:
                signing.sign(file, signer)
            target = f"{url}{name}-{package.version}.zip" if url.endswith("/") else url
            with self.context.progress(f"Putting {file.name}"):
                return module.push(file, target, force=force)

    def kept(self, url: str, digest: str = "") -> Path:
        """The file at `url` in quarantine, where it stays; fetched only where it is not there yet.

        What had come when a fetch broke off stays as well, and the next one goes on with it.
        Raises RegistryError, NotFoundError, UsageError; BusyError where another process fetches it.
        """
        from filelock import FileLock, Timeout

        from tritonpm.registry.transfer import Bounds, Task

        module, folder = registry.module(url), self._place(url, digest)
        if digest:
            registry.require_digest(digest)
        folder.mkdir(parents=True, exist_ok=True)
        there = next(folder.glob("*.zip"), None)
        if digest and there and digest_of(there) == digest:
            return there
        try:
            with (
                FileLock(folder.with_suffix(".lock"), timeout=0),
                self.context.progress(f"Fetching {registry.file_name(url)}") as report,
            ):
                return module.fetch(url, folder, Task(digest, self.bounds or Bounds(), report))
        except Timeout:
            raise BusyError("is being fetched already", where=registry.shown(url), do="wait for it") from None

    @contextmanager
    def _fetched(self, url: str, digest: str) -> Iterator[Path]:
        """The file at `url`, gone at the end, whatever was made of it."""
        file = self.kept(url, digest)
        try:
            yield file
        finally:
            shutil.rmtree(file.parent, ignore_errors=True)

    def _place(self, url: str, digest: str) -> Path:
        key = hashlib.sha256(f"{url}\n{digest}".encode()).hexdigest()[:16]
        return self.context.workspace.quarantine / key
