"""What happened in a repository elsewhere, in words."""

from __future__ import annotations

from tritonpm.cli.app import App


def say_pruned(app: App, pruned: object) -> None:
    """Print what went."""
    from tritonpm.operations.remote_repository import Pruned

    if isinstance(pruned, Pruned):
        app.say(f"Deleted {len(pruned.revisions)} revisions and {pruned.objects} files.")
