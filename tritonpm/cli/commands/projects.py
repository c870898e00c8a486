"""`tritonpm projects`: who uses what."""

from __future__ import annotations

from tritonpm.cli.app import App, command, pass_app, reading


@command("projects", examples="tritonpm projects\ntritonpm projects -o json")
@reading
@pass_app
def projects_command(app: App) -> None:
    """List the projects, and which packages they use."""
    from tritonpm.cli.output import table
    from tritonpm.operations.projects import projects

    with app.open() as context:
        leases = projects(context)
    columns = ("PROJECT", "PACKAGE", "SECONDS LEFT")
    rows = ((e.project, e.package, f"{e.left:.0f}") for e in sorted(leases, key=lambda e: (e.project, e.package)))
    app.emit("ProjectList", leases, lambda: table(columns, rows))
    if not leases:
        app.advise("No project uses any package; `tritonpm use NAME --project PROJECT` declares one.")
