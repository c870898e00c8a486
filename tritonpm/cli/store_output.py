"""What happened in a repository elsewhere, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.cli.app import App
from tritonpm.core.units import number_of

if TYPE_CHECKING:
    from tritonpm.operations.remote_repository import Pruned


def say_pruned(app: App, pruned: Pruned) -> None:
    """Print what went."""
    app.say(f"Deleted {number_of(len(pruned.revisions), 'revision')} and {number_of(pruned.objects, 'file')}.")
