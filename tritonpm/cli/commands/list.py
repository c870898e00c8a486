"""`tritonpm list`, in a module of its own: scripts run it often, so it imports nothing that it does not need."""

from __future__ import annotations

from tritonpm.cli.app import App, command, pass_app, reading


@command("list", examples="tritonpm list\ntritonpm list -o json | jq '.data[].name'")
@reading
@pass_app
def list_command(app: App) -> None:
    """List the packages of the workspace."""
    from tritonpm.catalogue import Listing, find
    from tritonpm.cli.output import table
    from tritonpm.operations.list import packages

    listed = packages(Listing.open(find(app.workspace)))
    columns = ("NAME", "TYPE", "STAGES", "MODE", "DEVICE", "BATCH", "PRECISION", "STATUS", "USED BY", "REVISION")
    rows = (
        (
            e.name,
            e.type,
            ", ".join(e.stages),
            e.mode,
            e.device,
            e.max_batch_size,
            e.precision,
            f"{e.status}, changed" if e.drift else e.status,
            ", ".join(e.used_by),
            e.revision or "-",
        )
        for e in listed
    )
    app.emit("PackageList", listed, lambda: table(columns, rows))
    for e in listed:
        if e.drift:
            app.advise(f"{e.name}: {e.drift}.")
    if not listed:
        app.advise("No packages yet; `tritonpm import FILE` brings one in.")
