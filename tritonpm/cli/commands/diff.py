"""`tritonpm diff`: what two revisions differ in."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.options import NAME
from tritonpm.cli.output import echo


@command("diff", examples="tritonpm diff bolts 3 4\ntritonpm diff bolts 3")
@NAME
@click.argument("one", type=int, metavar="REV")
@click.argument("other", type=int, required=False, metavar="[REV]")
@pass_app
def diff_command(app: App, name: str, one: int, other: int | None) -> None:
    """Show how two revisions differ, in configs and files; the second one defaults to the current revision."""
    from tritonpm.operations.diff import differences

    with app.open() as context:
        for line in differences(context, name, one, other):
            echo(line)
