"""What a live change came to, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tritonpm.cli.app import App

if TYPE_CHECKING:
    from tritonpm.operations.load import Loaded


def say_switched(app: App, name: str, loaded: Loaded | None) -> None:
    """Print what a live change came to."""
    if loaded is None:
        app.say(f"Changed {name}; it is not loaded.")
        return
    app.emit("LoadResult", loaded, lambda: click.echo(f"{name} serves revision {loaded.revision}: {loaded.probe}."))
