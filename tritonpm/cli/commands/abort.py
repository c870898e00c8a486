"""`tritonpm abort`: gives a canary up."""

from __future__ import annotations

from tritonpm.cli.app import App, command, on_a_server, pass_app
from tritonpm.cli.options import NAME


@command("abort", examples="tritonpm abort bolts")
@NAME
@on_a_server
@pass_app
def abort_command(app: App, name: str) -> None:
    """Discard a canary; its package keeps serving."""
    from tritonpm.operations.canary import abort

    with app.open() as context:
        abort(context, name)
    app.say(f"Discarded the canary of {name}.")
