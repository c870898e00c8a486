"""`tritonpm logs`: the server's log."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.output import echo


@command("logs", examples="tritonpm logs --follow")
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines.")
@click.option("-n", "--lines", type=int, default=50, show_default=True, help="How many lines from the end.")
@pass_app
def logs_command(app: App, follow: bool, lines: int) -> None:
    """Print the server's log."""
    from tritonpm.operations.logs import logs, started_again

    with app.open() as context:
        if again := started_again(context):
            app.advise(f"The server was restarted {again}.")
        for line in logs(context, lines, follow=follow):
            echo(line)
