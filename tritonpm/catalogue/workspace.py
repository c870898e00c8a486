"""Where everything of a workspace lies."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tritonpm.core.errors import NotFoundError, StorageError, UnsafeError
from tritonpm.core.scratch import scratch, sweep

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

    def scratch(self, what: str) -> AbstractContextManager[Path]:
        """A fresh folder in staging, gone at the end whatever happens; entering it raises StorageError."""
        return scratch(self.staging, what)

    def sweep(self) -> None:
        """Delete what killed processes left in staging, and nothing that `scratch` did not make."""
        sweep(self.staging)


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
    """The workspace named by `start`, or the nearest one around the current folder.

    Raises NotFoundError; UnsafeError where nobody named it and it is another user's: what it serves runs as us.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here,) if start else (here, *here.parents):
        if (workspace := Workspace(folder)).exists:
            if not start:
                _require_own(workspace)
            return workspace
    raise NotFoundError("is not a workspace", where=str(here), do="make one with `tritonpm init`, or name one with -w")


def _require_own(workspace: Workspace) -> None:
    """Refuse what somebody else may have put where others stand, such as in /tmp. `sudo` keeps who one is."""
    owner, us = workspace.state.stat().st_uid, os.geteuid()
    behind_sudo = us == 0 and os.environ.get("SUDO_UID") == str(owner)
    if owner not in (us, 0) and not behind_sudo:
        what = f"is a workspace of another user (uid {owner})"
        raise UnsafeError(what, where=str(workspace.root), do="name it with -w if you trust it")
