"""`tritonpm rename`: another name for a package."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.options import NAME


@command("rename", examples="tritonpm rename bolts bolts-line3")
@NAME
@click.argument("new_name", metavar="NEW-NAME")
@pass_app
def rename_command(app: App, name: str, new_name: str) -> None:
    """Give a package another name; it must not be loaded."""
    from tritonpm.operations.rename import rename

    with app.open() as context:
        rename(context, name, new_name)
    app.say(f"Renamed {name} to {new_name}.")
