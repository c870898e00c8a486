"""`tritonpm status`: the server beside the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.output import echo

if TYPE_CHECKING:
    from tritonpm.operations.status import ModelView


# Where a terminal is narrow.
_DROPS = ("LAST", "QUEUE µs", "VERSION", "INSTANCES", "STATUS", "FAILED", "INFERENCES", "REASON", "PACKAGE")


@command("status", examples="tritonpm status\ntritonpm status -o json")
@on_a_server
@reading
@pass_app
def status_command(app: App) -> None:
    """Show the server, and where it differs from the workspace."""
    from tritonpm.cli.output import facts, table
    from tritonpm.operations.status import RETURNS, status

    with app.open() as context:
        view = status(context)

    def text() -> None:
        backends = ", ".join(f"{name} ({kind})" for name, kind in view.backends.items())
        again = view.restarts.words if view.restarts else ""
        said = (("server", view.server), ("state", view.state), ("version", view.version), ("backends", backends),
                ("started again", again))  # fmt: skip
        facts((name, value) for name, value in said if value)
        if view.models:
            echo()
            columns = ("MODEL", "VERSION", "STATE", "PACKAGE", "STATUS", "INSTANCES", "INFERENCES", "FAILED",
                       "QUEUE µs", "LAST", "REASON")  # fmt: skip
            table(columns, [_row(model) for model in view.models], _DROPS)

    app.emit("Status", view, text)
    if view.state == "stopped" and RETURNS not in view.drift:
        app.advise("No server runs; start it with `tritonpm serve --detach`.")
    for sentence in view.drift:
        app.advise(f"Drift: {sentence}.")
    for sentence in view.advice:
        app.advise(f"Advice: {sentence}.")


def _row(model: ModelView) -> tuple[object, ...]:
    queue = "" if model.queue_us is None else f"{model.queue_us:.0f}"
    last = model.last_inference[:19].replace("T", " ")
    return (
        model.name, model.version, model.state, model.package, model.status, model.instances or "", model.inferences,
        model.failures, queue, last, model.reason,
    )  # fmt: skip
