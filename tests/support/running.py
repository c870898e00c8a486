"""A server that runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonpm.triton import embedded


@dataclass(frozen=True)
class Running:
    """A server, the repository it reads and its state folder."""

    server: embedded.Server
    repository: Path
    state: Path
