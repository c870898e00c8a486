"""`tritonpm apply`: makes the workspace what tritonpm.yaml says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.cli.app import App, command, for_a_release, on_a_server, pass_app
from tritonpm.cli.options import DECLARATION, PRUNE, UPDATE

if TYPE_CHECKING:
    from tritonpm.operations.declaration import Action


@command("apply", examples="tritonpm apply\ntritonpm apply --prune --update")
@DECLARATION
@PRUNE
@UPDATE
@on_a_server
@for_a_release
@pass_app
def apply_command(app: App, path: Path, prune: bool, update: bool) -> None:
    """Bring workspace and server to what tritonpm.yaml describes; loaded packages change live."""
    from tritonpm.operations.declaration import apply

    count = 0
    with app.open() as context:
        for action in apply(context, path, prune=prune, update=update):
            app.say(_sentence(action))
            count += 1
    if not count:
        app.say("Nothing to do.")


def _sentence(action: Action) -> str:
    return f"{action.what} {action.package}{': ' + action.sentence if action.sentence else ''}"
