"""What happened in a repository elsewhere, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.cli.app import App

if TYPE_CHECKING:
    from tritonpm.operations.remote_repository import Pruned


def say_pruned(app: App, pruned: Pruned) -> None:
    """Print what went."""
    app.say(f"Deleted {len(pruned.revisions)} revisions and {pruned.objects} files.")
