"""`tritonpm list`, in a module of its own: scripts run it often, so it imports nothing that it does not need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tritonpm.cli.app import App, command, pass_app, reading

if TYPE_CHECKING:
    from tritonpm.operations.list import PackageView

_DROPS = ("STAGES", "TYPE", "USED BY", "PRECISION", "BATCH", "REVISION", "DEVICE", "MODE")  # where a terminal is narrow


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
            package.name,
            package.type,
            ", ".join(package.stages),
            package.mode,
            package.device,
            package.max_batch_size,
            package.precision,
            ", ".join(_status(package)),
            ", ".join(package.used_by),
            package.revision or "-",
        )
        for package in listed
    )
    app.emit("PackageList", listed, lambda: table(columns, rows, _DROPS))
    for package in listed:
        if package.drift:
            app.advise(f"{package.name}: {package.drift}.")
    if not listed:
        app.advise("No packages yet; `tritonpm import FILE` imports one.")


def _status(package: PackageView) -> Iterator[str]:
    from tritonpm.operations.list import NOT_PROBED

    yield package.status
    if package.reason == NOT_PROBED:
        yield NOT_PROBED
    if package.drift:
        yield "changed"
