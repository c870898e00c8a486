"""`tritonpm render`: a model repository in a folder."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, for_a_release, pass_app, reading
from tritonpm.cli.options import NAME
from tritonpm.cli.output import echo


@command("render", examples="tritonpm render bolts --output /srv/models")
@NAME
@click.option("--output", "folder", type=click.Path(path_type=Path), required=True, help="The repository's folder.")
@for_a_release
@reading
@pass_app
def render_command(app: App, name: str, folder: Path) -> None:
    """Write a package's model repository into a folder, without a server."""
    from tritonpm.operations.render import render

    with app.open() as context:
        view = render(context, name, folder)
    app.emit("Rendering", view, lambda: echo(f"Wrote {', '.join(view.models)} to {folder}."))
    for note in view.notes:
        app.advise(f"Note: {note}")
