"""`tritonpm tracing`: how the server traces requests."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.completing import packages
from tritonpm.cli.options import PROTOCOL
from tritonpm.cli.server_settings import CHANGES, say_settings


@command(
    "tracing", examples="tritonpm tracing\ntritonpm tracing bolts --set trace_level=TIMESTAMPS --set trace_rate=100"
)
@click.argument("name", metavar="[NAME]", required=False, default="", shell_complete=packages)
@CHANGES
@PROTOCOL
@on_a_server
@reading
@pass_app
def tracing_command(app: App, name: str, changes: tuple[tuple[str, str], ...], protocol: str) -> None:
    """Show or change how the server traces requests, for one model or all; it writes to its trace file."""
    from tritonpm.operations.tracing import tracing

    with app.open() as context:
        say_settings(app, "TraceSettings", tracing(context, name, dict(changes), protocol=protocol))
