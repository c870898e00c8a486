"""`tritonpm inspect`: what a file holds, before it is imported."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, pass_app, reading


@command("inspect", examples="tritonpm inspect resnet50.onnx\ntritonpm inspect bolts.zip -o json")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--allow-code", is_flag=True, help="Also look into content that would run code when it is loaded.")
@reading
@pass_app
def inspect_command(app: App, file: Path, allow_code: bool) -> None:
    """Show what a model file or package holds, without importing it."""
    from tritonpm.cli.describe import describe_stages
    from tritonpm.operations.inspect import inspect

    inspection = inspect(file, allow_code=allow_code)
    app.emit("Inspection", inspection, lambda: describe_stages(inspection))
