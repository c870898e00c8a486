"""`tritonpm targets`: the Triton releases that are known, and the one that a workspace is for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core import releases
from tritonpm.core.files import write_atomically

if TYPE_CHECKING:
    from tritonpm.catalogue import Workspace
    from tritonpm.core.releases import Release

OF_CONTAINER = "NVIDIA_TRITON_SERVER_VERSION"  # what NVIDIA's images set


@dataclass(frozen=True)
class TargetView:
    """One release; `chosen`: this workspace is for it."""

    name: str
    triton: str
    onnxruntime: str
    ir: int
    opset: int
    ml: int
    openvino: str
    openvino_opset: int
    fields: tuple[str, ...]
    flags: tuple[str, ...]
    chosen: bool = False


def targets(workspace: Workspace | None = None) -> list[TargetView]:
    """Every release, the oldest first, and the embedded server. Raises StorageError, UsageError."""
    chosen = of_workspace(workspace).name if workspace else releases.EMBEDDED
    rows = [*releases.releases(), releases.embedded()]
    if chosen not in {row.name for row in rows}:
        rows.insert(-1, releases.release(chosen))
    return [TargetView(**vars(row), chosen=row.name == chosen) for row in rows]


def use(workspace: Workspace, name: str) -> Release:
    """From now on the workspace is for that release. Raises UsageError, StorageError."""
    chosen = releases.release(name)
    write_atomically(workspace.target, f"{chosen.name}\n".encode())
    return chosen


def of_workspace(workspace: Workspace) -> Release:
    """The release that a workspace is for: chosen, else that of the container we are in, else the embedded server's.

    Raises StorageError, UsageError.
    """
    name = workspace.target.read_text(encoding="utf-8").strip() if workspace.target.is_file() else ""
    return releases.release(name or os.environ.get(OF_CONTAINER, "")[:5] or releases.EMBEDDED)
