"""`tritonpm promote`: a canary takes its package's place."""

from __future__ import annotations

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.live_output import say_switched
from tritonpm.cli.options import NAME


@command("promote", examples="tritonpm promote bolts")
@NAME
@on_a_server
@reading
@pass_app
def promote_command(app: App, name: str) -> None:
    """Replace a package with its canary, live."""
    from tritonpm.operations.canary import promote

    with app.open() as context:
        say_switched(app, name, promote(context, name))
