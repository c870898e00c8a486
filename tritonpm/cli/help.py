"""How `--help` is drawn, apart from the commands: to load rich_click takes as long as all else that `list` does."""

from __future__ import annotations

from typing import Any

import click
from rich_click import RichCommand, RichContext


def drawn(command: Any, context: click.Context) -> str:
    """The help of a click command as rich_click draws that of its own."""
    rich = RichContext(command, info_name=context.info_name, parent=context.parent)
    formatter = rich.make_formatter()
    command.panels = []
    command.format_usage(rich, formatter)
    for part in (RichCommand.format_help_text, RichCommand.format_options):
        part(command, rich, formatter)
    command.format_epilog(rich, formatter)
    return formatter.getvalue().rstrip("\n")
