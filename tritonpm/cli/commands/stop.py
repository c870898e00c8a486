"""`tritonpm stop`: ends this workspace's Triton."""

from __future__ import annotations

import click

from tritonpm.cli.amounts import WAIT
from tritonpm.cli.app import App, command, pass_app


@command("stop", examples="tritonpm stop")
@click.option("--timeout", type=WAIT, default=30.0, show_default=True, help="Seconds to wait for requests in flight.")
@pass_app
def stop_command(app: App, timeout: float) -> None:
    """Stop this workspace's Triton; requests in flight are finished first."""
    from tritonpm.operations.stop import stop

    with app.open() as context:
        stopped = stop(context, timeout)
    app.say("Stopped." if stopped else "No server was running.")
