"""What a live change came to, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.cli.app import App
from tritonpm.cli.output import echo

if TYPE_CHECKING:
    from tritonpm.operations.load import Loaded


def say_switched(app: App, name: str, loaded: Loaded | None, otherwise: str = "") -> None:
    """Print what a live change came to; None where the package is not loaded, which `otherwise` may say better."""
    served = f"{name} serves revision {loaded.revision}: {loaded.probe}." if loaded else ""
    app.emit("LoadResult", loaded, lambda: echo(served or otherwise or f"Changed {name}; it is not loaded."))
