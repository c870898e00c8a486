"""`tritonpm declare`: the workspace as a tritonpm.yaml."""

from __future__ import annotations

from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.output import echo


@command("declare", examples="tritonpm declare > tritonpm.yaml")
@pass_app
def declare_command(app: App) -> None:
    """Print a tritonpm.yaml that describes the workspace."""
    from tritonpm.operations.declaration import export

    with app.open() as context:
        echo(export(context), nl=False)
