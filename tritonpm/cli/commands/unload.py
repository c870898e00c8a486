"""`tritonpm unload`: takes a package off the server."""

from __future__ import annotations

import click

from tritonpm.cli.amounts import WAIT
from tritonpm.cli.app import App, command, on_a_server, pass_app
from tritonpm.cli.options import NAME


@command("unload", examples="tritonpm unload bolts\ntritonpm unload bolts --force")
@NAME
@click.option("--force", is_flag=True, help="Do it even while it is in use.")
@click.option("--dependents", is_flag=True, help="Also unload other packages' ensembles that it is part of.")
@click.option("--timeout", type=WAIT, default=60.0, show_default=True, help="Seconds to wait until it is unloaded.")
@on_a_server
@pass_app
def unload_command(app: App, name: str, force: bool, dependents: bool, timeout: float) -> None:
    """Unload a package from the server; it stays in the workspace. Refused while it is in use."""
    from tritonpm.operations.unload import unload

    with app.open() as context:
        unload(context, name, force=force, dependents=dependents, timeout=timeout)
    app.say(f"Unloaded {name}.")
