"""`tritonpm history`: the revisions of a package."""

from __future__ import annotations

from datetime import datetime

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.options import NAME


@command("history", examples="tritonpm history bolts\ntritonpm history bolts -o json")
@NAME
@reading
@pass_app
def history_command(app: App, name: str) -> None:
    """List the revisions, and in which order `rollback` goes back."""
    from tritonpm.cli.output import table
    from tritonpm.operations.history import history

    with app.open() as context:
        revisions = history(context, name)
    columns = ("", "REVISION", "VERSION", "MODE", "DEVICE", "BATCH", "PRECISION", "PUBLISHED", "DIGEST", "ROLLBACK")
    rows = (
        ("*" if e.current else "", e.number, e.version, e.mode, e.device, e.max_batch_size, e.precision,
         datetime.fromisoformat(e.published).strftime("%Y-%m-%d %H:%M:%S"), e.digest[:16], _way_back(e.served))
        for e in revisions
    )  # fmt: skip
    app.emit("History", revisions, lambda: table(columns, rows))


def _way_back(served: int | None) -> str:
    """How many roll-backs away a revision is."""
    return {None: "", 0: "proved last"}.get(served, f"{served} back")
