"""A Triton that nobody else uses, gone when what it was started for is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tritonpm.operations.kept_log import log_kept

if TYPE_CHECKING:
    from pathlib import Path

    from tritonpm.core.types import Package, Revision
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client
    from tritonpm.triton.server import Server

_LOG = "state/triton.log"  # in the folder of a private server
_PATIENCE = 1.0  # seconds that a server has to end which nobody else waits for; what it leaves is swept


@contextmanager
def alone(context: Context, *packages: Package) -> Iterator[tuple[Path, Server]]:
    """A Triton that nobody else uses, for these packages, and the folder with its `models` and `staging`.

    Where something fails on it, its log is kept and the error names the file.

    Configs that we have written leave nothing to be completed. To find that out takes Triton a process, and a second,
    for every load.
    """
    from tritonpm.triton import embedded

    whole = bool(packages) and all(stage.config is None for package in packages for stage in package.stages)
    with (
        context.workspace.scratch("bench") as folder,
        log_kept(folder / _LOG, context.workspace.logs),
    ):
        for part in ("models", "staging"):
            (folder / part).mkdir()
        with context.progress("Starting a Triton to measure on"):
            server = embedded.start(
                embedded.find(None), folder / "models", folder / "state", gpu=bool(context.target.gpus),
                arguments=("--disable-auto-complete-config",) if whole else (),
            )  # fmt: skip
        try:
            yield folder, server
        finally:
            embedded.stop(server, folder / "state", timeout=_PATIENCE)


def place(context: Context, client: Client, folder: Path, revision: Revision) -> None:
    """Load a revision on the server that `alone` gave, whose folder this is. Raises ServerError."""
    from tritonpm.repository.publish import publish

    publish(revision, folder / "models", folder / "staging", context.blobs.path)
    with log_kept(folder / _LOG, context.workspace.logs):
        client.load_and_wait(revision.name)
