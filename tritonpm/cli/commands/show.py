"""`tritonpm show`: a package in detail."""

from __future__ import annotations

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.options import NAME


@command("show", examples="tritonpm show bolts\ntritonpm show bolts -o yaml")
@NAME
@reading
@pass_app
def show_command(app: App, name: str) -> None:
    """Show a package: its stages, tensors, settings and state."""
    from tritonpm.cli.describe import describe_package
    from tritonpm.operations.show import show

    with app.open() as context:
        view = show(context, name)
    app.emit("PackageDetails", view, lambda: describe_package(view))
