"""`tritonpm history`: the revisions of a package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.options import NAME

if TYPE_CHECKING:
    from tritonpm.operations.history import RevisionView


@command("history", examples="tritonpm history bolts\ntritonpm history bolts -o json")
@NAME
@reading
@pass_app
def history_command(app: App, name: str) -> None:
    """List the revisions, in the order in which `rollback` goes back."""
    from tritonpm.cli.output import moment, table
    from tritonpm.operations.history import history

    with app.open() as context:
        revisions = history(context, name)
    changed = any(e.next and not e.served for e in revisions)  # so that the first roll-back gives the change up
    columns = ("", "REVISION", "VERSION", "MODE", "DEVICE", "BATCH", "PRECISION", "PUBLISHED", "DIGEST", "ROLLBACK")
    rows = (
        ("*" if e.current else "", e.number, e.version, e.mode, e.device, e.max_batch_size, e.precision,
         moment(e.published), e.digest[:16], _way_back(e, changed))
        for e in revisions
    )  # fmt: skip
    app.emit("History", revisions, lambda: table(columns, rows))


def _way_back(view: RevisionView, changed: bool) -> str:
    """How many roll-backs away a revision is, and whether a probe proved it."""
    from tritonpm.operations.list import NOT_PROBED

    if view.served is None:
        return ""
    back = f"{view.served + changed} back" if view.served + changed else ""
    last = ("proved last" if view.probed else "loaded last") if view.served == 0 else ""
    return ", ".join(filter(None, (last, back, "" if view.probed else NOT_PROBED)))
