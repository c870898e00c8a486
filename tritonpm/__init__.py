"""The package manager for NVIDIA Triton Inference Server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tritonpm.operations.context import Context

__version__ = "0.1.0"

# Who forks here runs another program at once. What gRPC does before a fork is not needed for that, and may wait for
# ever (seen once with grpcio 1.85: docs/components.md). It reads this when it is first used.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def open(root: str | Path | None = None, *, server: str | None = None) -> AbstractContextManager[Context]:
    """A workspace for the operations of `tritonpm.api`: the one at `root`, or the one around the current folder.

    `server` is the URL of an external Triton; "" is the workspace's own. The user's file
    (~/.config/tritonpm/config.toml) and variables apply here, too: they give both arguments if these are None.
    Raises NotFoundError, StorageError, BusyError, UsageError when it is entered.
    """
    from pathlib import Path

    from tritonpm.operations.context import open_for_user

    return open_for_user(Path(root) if root is not None else None, server=server)
