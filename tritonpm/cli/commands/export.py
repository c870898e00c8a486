"""`tritonpm export`: a package as a .zip again."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.options import NAME


@command("export", examples="tritonpm export bolts\ntritonpm export bolts --output backup/bolts.zip")
@NAME
@click.option("--output", "destination", type=click.Path(path_type=Path), help="The .zip to write [default: NAME.zip].")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@pass_app
def export_command(app: App, name: str, destination: Path | None, force: bool) -> None:
    """Write a package back as a .zip that `import` reads."""
    from tritonpm.operations.export import export

    with app.open() as context:
        written = export(context, name, destination or Path(f"{name}.zip"), force=force)
    app.say(f"Wrote {written}.")
