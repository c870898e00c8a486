"""`tritonpm declare`: the workspace as a tritonpm.yaml."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app


@command("declare", examples="tritonpm declare > tritonpm.yaml")
@pass_app
def declare_command(app: App) -> None:
    """Print the workspace as a tritonpm.yaml to begin with."""
    from tritonpm.operations.declaration import export

    with app.open() as context:
        click.echo(export(context), nl=False)
