"""Commands on what a running Triton says of itself: its log, and what it writes into it and traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.server import PROTOCOL
from tritonpm.cli.settings import Pair

SET = click.option("--set", "changes", type=Pair(), multiple=True, help="Change one of them (repeatable).")


@command("logs", examples="tritonpm logs --follow")
@click.option("-f", "--follow", is_flag=True, help="Keep printing what comes.")
@click.option("-n", "--lines", type=int, default=50, show_default=True, help="How many of the last lines.")
@pass_app
def logs_command(app: App, follow: bool, lines: int) -> None:
    """Print the server's log."""
    for line in app.serving().logs(lines, follow=follow):
        click.echo(line)


@command(
    "tracing", examples="tritonpm tracing\ntritonpm tracing bolts --set trace_level=TIMESTAMPS --set trace_rate=100"
)
@click.argument("name", metavar="[NAME]", required=False, default="")
@SET
@PROTOCOL
@on_a_server
@reading
@pass_app
def tracing_command(app: App, name: str, changes: tuple[tuple[str, str], ...], protocol: str) -> None:
    """Show or change how the server traces requests, of one model or of all; it writes to its trace file."""
    _settings(app, "TraceSettings", app.serving().tracing(name, dict(changes), protocol=protocol))


@command("logging", examples="tritonpm logging\ntritonpm logging --set log_verbose_level=1")
@SET
@PROTOCOL
@on_a_server
@reading
@pass_app
def logging_command(app: App, changes: tuple[tuple[str, str], ...], protocol: str) -> None:
    """Show or change what the server writes into its log."""
    _settings(app, "LogSettings", app.serving().logging(dict(changes), protocol=protocol))


def _settings(app: App, kind: str, settings: Mapping[str, Any]) -> None:
    from tritonpm.cli.output import table

    app.emit(kind, settings, lambda: table(("SETTING", "VALUE"), sorted(settings.items())))
