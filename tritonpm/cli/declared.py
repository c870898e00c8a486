"""Commands on the declared state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading

if TYPE_CHECKING:
    from tritonpm.operations.views import Action

FILE = click.option(
    "-f", "--file", "path", type=click.Path(path_type=Path), default=Path("tritonpm.yaml"), show_default=True,
    help="The declaration.",
)  # fmt: skip
PRUNE = click.option("--prune", is_flag=True, help="Unload and remove packages that are not declared.")
UPDATE = click.option("--update", is_flag=True, help="Take sources that have changed since they were pinned.")


@command("plan", examples="tritonpm plan\ntritonpm plan --prune -f lines/line-3.yaml")
@FILE
@PRUNE
@UPDATE
@reading
@pass_app
def plan_command(app: App, path: Path, prune: bool, update: bool) -> None:
    """Show what `apply` would do; nothing is written."""
    from tritonpm.cli.output import table
    from tritonpm.operations.declaration import plan

    actions = plan(app.manager(), path, prune=prune, update=update).actions
    rows = ((a.what, a.package, a.sentence) for a in actions)
    app.emit("Plan", actions, lambda: table(("ACTION", "PACKAGE", ""), rows) if actions else app.say("Nothing to do."))


@command("apply", examples="tritonpm apply\ntritonpm apply --prune --update")
@FILE
@PRUNE
@UPDATE
@on_a_server
@pass_app
def apply_command(app: App, path: Path, prune: bool, update: bool) -> None:
    """Make the workspace and its server what tritonpm.yaml says; what is loaded changes live."""
    from tritonpm.operations.declaration import apply

    count = 0
    for action in apply(app.serving(), path, prune=prune, update=update):
        app.say(_said(action))
        count += 1
    if not count:
        app.say("Nothing to do.")


@command("declare", examples="tritonpm declare > tritonpm.yaml")
@pass_app
def declare_command(app: App) -> None:
    """Print the workspace as a tritonpm.yaml to begin with."""
    from tritonpm.operations.declaration import export

    click.echo(export(app.manager()), nl=False)


def _said(action: Action) -> str:
    return f"{action.what} {action.package}{': ' + action.sentence if action.sentence else ''}"
