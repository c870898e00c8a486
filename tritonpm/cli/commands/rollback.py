"""`tritonpm rollback`: back to an earlier revision."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.live_output import say_switched
from tritonpm.cli.options import NAME

REVISION = click.argument("revision", type=int, required=False, metavar="[REV]")


@command("rollback", examples="tritonpm rollback bolts\ntritonpm rollback bolts 3")
@NAME
@REVISION
@on_a_server
@reading
@pass_app
def rollback_command(app: App, name: str, revision: int | None) -> None:
    """Go back to an earlier revision, with its content and settings; live if the package is loaded.

    Without a number, changes that have never served are discarded first;
    then each call goes one step back through the revisions that served.
    """
    from tritonpm.operations.rollback import rollback

    with app.open() as context:
        loaded = rollback(context, name, revision)
        comes_back = context.catalogue.get(name).proved if revision is None else None
    otherwise = f"{name} is not loaded; revision {comes_back} comes back." if comes_back else ""
    say_switched(app, name, loaded, otherwise)
