"""The use cases: the one place that knows all the rooms. Each returns a frozen result and prints nothing.

Order of every change: read and refuse first; then, under the workspace's lock, finish what a crash left (`recover`),
journal the intent, change the catalogue, make the disk agree, close the intent.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import Blobs, Catalogue, Record, Workspace
from tritonpm.data import BatchAxis, Package, Revision, Settings, Stage
from tritonpm.errors import BusyError, NotFoundError, StorageError, UsageError
from tritonpm.views import Inspection, PackageDetails, PackageView, Rendering, StageView

if TYPE_CHECKING:
    from tritonpm.data import Finding

Report = Callable[[int, int], None]
Progress = Callable[[str], AbstractContextManager[Report]]


def quiet(_: str) -> AbstractContextManager[Report]:
    """Progress that nobody watches."""
    return nullcontext(lambda done, total: None)


def init(folder: Path) -> tuple[Path, bool]:
    """Make a workspace in `folder`; the flag says whether there was none yet."""
    from tritonpm.catalogue import create

    fresh = not Workspace(folder.resolve()).exists
    workspace = create(folder.resolve())
    Catalogue.open(workspace).close()
    return workspace.root, fresh


class Manager:
    """The packages of one workspace and the server that serves them."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        server: str | None = None,
        progress: Progress = quiet,
        waiting: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.workspace, self.url, self.progress, self.waiting = workspace, server, progress, waiting

    @classmethod
    def open(cls, root: Path | None = None, **options: object) -> Manager:
        """The manager of the workspace at `root`, or of the one around the current folder. Raises NotFoundError."""
        from tritonpm.catalogue import find

        return cls(find(root), **options)  # type: ignore[arg-type]

    @cached_property
    def catalogue(self) -> Catalogue:
        """What the workspace knows and promised."""
        return Catalogue.open(self.workspace)

    @cached_property
    def blobs(self) -> Blobs:
        """The model files, by content."""
        return Blobs(self.workspace)

    @contextmanager
    def changing(self, what: str) -> Iterator[None]:
        """Hold the workspace's lock, with what a crash left over finished first. Raises BusyError."""
        from tritonpm.catalogue import lock

        with lock(self.workspace, what, waiting=self.waiting):
            recover(self)
            yield
