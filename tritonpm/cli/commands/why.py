"""`tritonpm why`: what keeps a model loaded."""

from __future__ import annotations

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import NAME
from tritonpm.cli.output import echo


@command("why", examples="tritonpm why bolts\ntritonpm why detect.6e2f9bf9d1c2")
@NAME
@on_a_server
@reading
@pass_app
def why_command(app: App, name: str) -> None:
    """Explain what keeps a model loaded."""
    from tritonpm.operations.why import why

    with app.open() as context:
        reasons = why(context, name)
    app.emit("Reasons", reasons, lambda: echo("\n".join(reasons) or f"Nothing keeps {name} loaded."))
