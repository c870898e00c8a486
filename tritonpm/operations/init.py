"""`tritonpm init`: make a workspace."""

from __future__ import annotations

from pathlib import Path

from tritonpm.catalogue import Catalogue, Workspace, create


def init(folder: Path) -> tuple[Path, bool]:
    """Make a workspace in `folder`; the flag says whether there was none yet. Raises StorageError."""
    fresh = not Workspace(folder.resolve()).exists
    workspace = create(folder.resolve())
    Catalogue.open(workspace).close()
    return workspace.root, fresh
