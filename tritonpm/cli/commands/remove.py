"""`tritonpm remove`: takes a package out of the workspace."""

from __future__ import annotations

from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.options import NAME


@command("remove", examples="tritonpm remove bolts")
@NAME
@pass_app
def remove_command(app: App, name: str) -> None:
    """Remove a package and everything that was published of it; it must not be loaded."""
    from tritonpm.operations.remove import remove

    with app.open() as context:
        remove(context, name)
    app.say(f"Removed {name}.")
