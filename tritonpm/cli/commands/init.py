"""`tritonpm init`: makes a workspace."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, pass_app


@command("init", examples="tritonpm init\ntritonpm init lines/line-3")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@pass_app
def init_command(app: App, folder: Path | None) -> None:
    """Create a workspace: the catalogue and model_repository/."""
    from tritonpm.operations.init import init

    root, fresh = init(folder or app.workspace or Path.cwd())
    app.say(f"Created a workspace in {root}." if fresh else f"{root} is already a workspace; nothing was changed.")
