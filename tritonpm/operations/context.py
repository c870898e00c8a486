"""What every operation works on: the workspace, what it knows, the server that was named, who asks, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import Blobs, Catalogue, Workspace, find
from tritonpm.catalogue.audit import Actor, this_user

if TYPE_CHECKING:
    from tritonpm.core.releases import Release
    from tritonpm.core.types import Target
    from tritonpm.triton.connection import Connection

Report = Callable[[int, int], None]  # (done, total); total 0 where it is not known
Progress = Callable[[str], AbstractContextManager[Report]]
Warn = Callable[[str], None]


def quiet(_: str) -> AbstractContextManager[Report]:
    """Progress that nobody watches."""
    return nullcontext(lambda done, total: None)


def unheard(_: str) -> None:
    """A warning that nobody reads."""


@dataclass(frozen=True)
class Context:
    """One workspace, opened. `server` is a Triton that somebody else runs; None is the workspace's own."""

    workspace: Workspace
    catalogue: Catalogue
    blobs: Blobs
    server: Connection | str | None = None
    progress: Progress = quiet
    warn: Warn = unheard
    for_release: str = ""  # the Triton release that this run is for; "" is the workspace's
    actor: Actor = field(default_factory=this_user)  # who asks

    @cached_property
    def release(self) -> Release:
        """The Triton release that all is made for. Raises UsageError."""
        from tritonpm.core.releases import release
        from tritonpm.operations.targets import of_workspace

        return release(self.for_release) if self.for_release else of_workspace(self.workspace)

    @cached_property
    def target(self) -> Target:
        """What serves: this machine, looked up once for each context, and the release."""
        from tritonpm.hardware import target

        return replace(target(), release=self.release.name)


@contextmanager
def open_context(
    root: Path | None = None,
    *,
    server: Connection | str | None = None,
    progress: Progress = quiet,
    warn: Warn = unheard,
    for_release: str = "",
    actor: Actor | None = None,
) -> Iterator[Context]:
    """The workspace at `root`, or the one around the current folder, closed at the end.

    `for_release` is a Triton release other than the workspace's; `actor` is who asks, where that is not this user.
    Raises NotFoundError where there is none; StorageError, BusyError where its catalogue cannot be opened.
    """
    workspace = find(root)
    catalogue = Catalogue.open(workspace)
    try:
        yield Context(workspace, catalogue, Blobs(workspace), server, progress, warn, for_release, actor or this_user())
    finally:
        catalogue.close()


@contextmanager
def open_for_user(root: Path | None = None, *, server: Connection | str | None = None) -> Iterator[Context]:
    """As `open_context`, where what the user has said once for all holds too: in their file, or by variables.

    `root` and `server` are the user's where they are None; `server` "" is the workspace's own. What the file says
    becomes variables of this process, as the command line does it; `context`, `target` and `profile` are of commands.
    Raises UsageError where it is wrong.
    """
    from tritonpm.core.user_config import adopt, said

    adopt()
    if root is None and (named := said("workspace")):
        root = Path(named)
    to = _of_user() if server is None else server or None
    with open_context(root, server=to) as context:
        yield context


def _of_user() -> Connection | None:
    """The server that the user has named, with the token that it wants; None where they named none."""
    from tritonpm.core.user_config import said
    from tritonpm.triton.connection import Connection, bearer

    url, token = said("server"), said("server_token_file")
    return Connection(url, bearer(Path(token)) if token else {}) if url else None
