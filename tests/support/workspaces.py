"""Workspaces, opened for as long as a test lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tritonpm.catalogue import Blobs, Catalogue, find
from tritonpm.core.types import Revision
from tritonpm.operations.context import Context, Progress, Warn, quiet, unheard
from tritonpm.operations.init import init
from tritonpm.operations.local_repository import is_current, restore
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.serve import serve
from tritonpm.operations.server import own_server
from tritonpm.operations.stop import stop
from tritonpm.triton import embedded
from tritonpm.triton.connection import Connection

# How `serve` starts the server of a test: on any ports, for as long as a slow machine takes, and without the process that
# Triton starts at each load to complete a config. Ours leave nothing open, and it costs a second and a third of a load.
QUICKLY: dict[str, Any] = {
    "detach": True, "timeout": 600, "standard_ports": False, "arguments": ("--disable-auto-complete-config",),
}  # fmt: skip


def opened(
    root: Path,
    *,
    server: Connection | str | None = None,
    progress: Progress = quiet,
    warn: Warn | Callable[[str], None] = unheard,
) -> Context:
    """The workspace at `root`; its catalogue is closed with the last reference to it."""
    workspace = find(root)
    return Context(workspace, Catalogue.open(workspace), Blobs(workspace), server, progress, warn)


@contextmanager
def served(root: Path) -> Iterator[Context]:
    """A new workspace at `root` whose own server runs, and is gone afterwards."""
    init(root)
    context = opened(root)
    serve(context, None, **QUICKLY)
    try:
        yield context
    finally:
        stop(context, 15)


def running(context: Context) -> embedded.Server:
    """The workspace's own server, which runs."""
    server = own_server(context)
    assert server is not None
    return server


def files_of(context: Context) -> set[str]:
    """Every file of the workspace that a refusal could leave behind."""
    kept = (context.workspace.blobs, context.workspace.repository, context.workspace.staging, context.workspace.records)
    return {str(path) for root in kept for path in root.rglob("*") if path.is_file()}


def publish(context: Context, name: str) -> Revision:
    """Bring what is wanted of a package into the workspace's repository, on no server."""
    revision = wanted_revision(context, name)
    if not is_current(context, name, revision):
        restore(context, name, revision)
    return revision
