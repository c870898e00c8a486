"""A running server's own settings, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tritonpm.cli.app import App
from tritonpm.cli.setting_options import Pair

CHANGES = click.option("--set", "changes", type=Pair(), multiple=True, help="A setting to change (repeatable).")


def say_settings(app: App, kind: str, settings: Mapping[str, Any]) -> None:
    """Print a server's settings."""
    from tritonpm.cli.output import table

    app.emit(kind, settings, lambda: table(("SETTING", "VALUE"), sorted(settings.items())))
