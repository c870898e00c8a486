"""`tritonpm logging`: what the server writes into its log."""

from __future__ import annotations

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import PROTOCOL
from tritonpm.cli.server_settings import CHANGES, say_settings


@command("logging", examples="tritonpm logging\ntritonpm logging --set log_verbose_level=1")
@CHANGES
@PROTOCOL
@on_a_server
@reading
@pass_app
def logging_command(app: App, changes: tuple[tuple[str, str], ...], protocol: str) -> None:
    """Show or change what the server logs."""
    from tritonpm.operations.logging import logging

    with app.open() as context:
        say_settings(app, "LogSettings", logging(context, dict(changes), protocol=protocol))
