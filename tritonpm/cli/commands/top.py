"""`tritonpm top`: what the machine, the GPUs, the server and the packages do."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from tritonpm.cli.amounts import Amount
from tritonpm.cli.app import App, command, on_a_server, pass_app, reading

if TYPE_CHECKING:
    from tritonpm.operations.monitor.snapshot import Snapshot
    from tritonpm.operations.monitor.watch import Monitor


@command(
    "top",
    examples="""
    tritonpm top
    tritonpm top --once --interval 5
    tritonpm top -o json
    tritonpm top --server 10.0.0.7:8000 --metrics 10.0.0.7:8002
    """,
)
@click.option("--once", is_flag=True, help="Print one table and exit, as when the output is not a terminal.")
@click.option(
    "--interval", type=Amount(0.2, 3600), default=2.0, show_default=True,
    help="Seconds between updates; rates are averaged over them.",
)  # fmt: skip
@click.option("--metrics", metavar="HOST:PORT", help="The metrics endpoint of the Triton given with --server.")
@on_a_server
@reading
@pass_app
def top_command(app: App, once: bool, interval: float, metrics: str | None) -> None:
    """Show the load of machine, server and packages, until Ctrl-C."""
    from tritonpm.catalogue import find
    from tritonpm.operations.monitor.watch import Monitor

    with Monitor(find(app.workspace), app.connection(), metrics) as monitor:
        if once or app.output != "table" or not sys.stdout.isatty():
            _print(app, _second(monitor, interval))
        else:
            _live(monitor, interval)


def _second(monitor: Monitor, interval: float) -> Snapshot:
    """The first snapshot that has rates."""
    monitor.sample()
    time.sleep(interval)
    return monitor.sample()


def _print(app: App, snapshot: Snapshot) -> None:
    from tritonpm.cli.output import show
    from tritonpm.cli.top_view import TopView

    app.emit("Snapshot", snapshot, lambda: show(TopView(snapshot)))


def _live(monitor: Monitor, interval: float) -> None:
    """Draw anew after each interval, on a screen of its own; Ctrl-C ends it."""
    from rich.live import Live

    from tritonpm.cli.top_view import TopView

    with Live(TopView(monitor.sample()), screen=True, auto_refresh=False) as screen:
        try:
            while True:
                time.sleep(interval)
                screen.update(TopView(monitor.sample()), refresh=True)
        except KeyboardInterrupt:
            return
