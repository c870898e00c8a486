"""Where everything of a workspace lies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tritonpm.core.errors import NotFoundError, StorageError
from tritonpm.core.files import storage_error

_STATE = ".tritonpm"


@dataclass(frozen=True)
class Workspace:
    """A workspace's folder and the places in it."""

    root: Path

    @property
    def state(self) -> Path:
        """What tritonpm keeps for itself."""
        return self.root / _STATE

    @property
    def database(self) -> Path:
        """The catalogue."""
        return self.state / "catalogue.sqlite"

    @property
    def blobs(self) -> Path:
        """Model files by content."""
        return self.state / "blobs"

    @property
    def records(self) -> Path:
        """One JSON for each package, from which a lost catalogue is rebuilt."""
        return self.state / "records"

    @property
    def staging(self) -> Path:
        """Where files are made before they are renamed into place: the repository's file system, outside its root."""
        return self.state / "staging"

    @property
    def quarantine(self) -> Path:
        """What was fetched from a registry, whole or in part, before anything of it is read."""
        return self.state / "quarantine"

    @property
    def policy(self) -> Path:
        """What may come in; it need not exist."""
        return self.root / "policy.yaml"

    @property
    def remembered_policy(self) -> Path:
        """What the policy required, beside the catalogue, from which a lost catalogue is rebuilt."""
        return self.state / "policy.json"

    @property
    def tokens(self) -> Path:
        """Who may do what on the page; it need not exist."""
        return self.state / "tokens.json"

    @property
    def target(self) -> Path:
        """The Triton release that was chosen, which need not exist."""
        return self.state / "target"

    @property
    def server(self) -> Path:
        """The state of the server that we run."""
        return self.state / "server"

    @property
    def logs(self) -> Path:
        """What servers of our own said that failed and are gone."""
        return self.state / "logs"

    @property
    def jobs(self) -> Path:
        """A folder for each job."""
        return self.state / "jobs"

    @property
    def timing_cache(self) -> Path:
        """What TensorRT learnt about kernels, one file for each toolkit and device."""
        return self.state / "timing"

    @property
    def lock(self) -> Path:
        """What a change holds."""
        return self.state / "lock"

    @property
    def repository(self) -> Path:
        """What Triton reads."""
        return self.root / "model_repository"

    @property
    def templates(self) -> Path:
        """The workspace's own templates, which need not exist."""
        return self.root / "templates"

    @property
    def exists(self) -> bool:
        """Whether this is a workspace."""
        return self.state.is_dir()

    @contextmanager
    def scratch(self, what: str) -> Iterator[Path]:
        """A fresh folder in staging, gone at the end whatever happens. Raises StorageError.

        Its owner holds a lock on the folder itself, which the kernel frees with the process: the number of a process
        may be used again, by another one or in another container.
        """
        import shutil

        folder, held = self._fresh(what)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)

    def sweep(self) -> None:
        """Delete what killed processes left in staging, and nothing that `scratch` did not make."""
        import shutil

        for folder in self.staging.glob("*-*-*") if self.staging.is_dir() else ():
            if folder.name.rsplit("-", 2)[1].isdecimal():
                with suppress(OSError):  # its owner lives, or has just deleted it
                    held = _hold(folder, fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                    os.close(held)

    def _fresh(self, what: str) -> tuple[Path, int]:
        """A folder in staging and the descriptor that holds it, once no sweep took it before it was held."""
        import tempfile

        try:
            self.staging.mkdir(exist_ok=True)
            while True:
                folder = Path(tempfile.mkdtemp(prefix=f"{what}-{os.getpid()}-", dir=self.staging))
                with suppress(FileNotFoundError):
                    held = _hold(folder)
                    if folder.is_dir():
                        return folder, held
                    os.close(held)
        except OSError as error:
            raise storage_error(error, self.staging) from None


def _hold(folder: Path, how: int = 0) -> int:
    """Lock a folder until the descriptor is closed or the process ends. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def create(root: Path) -> Workspace:
    """Make a workspace in `root`; one that exists is left as it is. Raises StorageError."""
    workspace = Workspace(root)
    try:
        for folder in (workspace.state, workspace.blobs, workspace.records, workspace.staging, workspace.repository):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot be written ({error.strerror})", where=str(root), do="choose another folder"
        ) from None
    return workspace


def find(start: Path | None = None) -> Workspace:
    """The workspace named by `start`, or the nearest one around the current folder. Raises NotFoundError."""
    here = (start or Path.cwd()).resolve()
    for folder in (here,) if start else (here, *here.parents):
        if Workspace(folder).exists:
            return Workspace(folder)
    raise NotFoundError("is not a workspace", where=str(here), do="make one with `tritonpm init`, or name one with -w")
