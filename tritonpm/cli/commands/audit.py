"""`tritonpm audit`: who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tritonpm.cli.app import App, command, pass_app, reading

if TYPE_CHECKING:
    from tritonpm.operations.audit import AuditView


@command(
    "audit", examples="tritonpm audit\ntritonpm audit --package bolts\ntritonpm audit --who anna --last 500 -o json"
)
@click.option("--package", default="", metavar="NAME", help="What was done with this package.")
@click.option("--who", default="", metavar="NAME", help="What this user, token or account did.")
@click.option("--last", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest first.")
@reading
@pass_app
def audit_command(app: App, package: str, who: str, last: int) -> None:
    """Show who did what, when and from where, and how it ended: by commands, the page and its REST API."""
    from tritonpm.cli.output import table
    from tritonpm.operations.audit import audit_page

    with app.open() as context:
        entries, _ = audit_page(context, 1, last, package=package, who=who)
    columns = ("WHEN", "WHO", "ROLE", "FROM", "ACTION", "PACKAGE", "DETAIL", "OUTCOME")
    app.emit("Audit", entries, lambda: table(columns, map(_row, entries), ("DETAIL", "ROLE", "FROM")))
    if not entries:
        app.advise("Nothing has been done yet.")


def _row(entry: AuditView) -> tuple[str, ...]:
    from tritonpm.cli.output import moment

    outcome = f"{entry.outcome}: {entry.reason}" if entry.reason else entry.outcome
    return (moment(entry.at), entry.who, entry.role, entry.origin, entry.action, entry.package, entry.detail, outcome)
