"""`tritonpm plan`: what `apply` would do."""

from __future__ import annotations

from pathlib import Path

from tritonpm.cli.app import App, command, for_a_release, pass_app, reading
from tritonpm.cli.options import DECLARATION, PRUNE, UPDATE


@command("plan", examples="tritonpm plan\ntritonpm plan --prune -f lines/line-3.yaml")
@DECLARATION
@PRUNE
@UPDATE
@for_a_release
@reading
@pass_app
def plan_command(app: App, path: Path, prune: bool, update: bool) -> None:
    """Show what `apply` would do, without changing anything."""
    from tritonpm.cli.output import table
    from tritonpm.operations.declaration import plan

    with app.open() as context:
        actions = plan(context, path, prune=prune, update=update).actions
    rows = ((a.what, a.package, a.sentence) for a in actions)
    app.emit("Plan", actions, lambda: table(("ACTION", "PACKAGE", ""), rows) if actions else app.say("Nothing to do."))
