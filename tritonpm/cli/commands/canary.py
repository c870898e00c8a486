"""`tritonpm canary`: a new version beside the one that serves."""

from __future__ import annotations

from typing import Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.completing import files
from tritonpm.cli.headings import SETTINGS
from tritonpm.cli.options import ALLOW_CODE, NAME
from tritonpm.cli.output import echo
from tritonpm.cli.setting_options import setting_options


@command(
    "canary",
    examples="""
    tritonpm canary bolts bolts-2.zip
    tritonpm canary bolts hf://line/bolts@v2
    tritonpm canary bolts --precision fp16 --optimizer auto
    """,
    headings=SETTINGS,
)
@NAME
@click.argument("source", required=False, metavar="[SOURCE]", shell_complete=files)
@ALLOW_CODE
@setting_options
@on_a_server
@reading
@pass_app
def canary_command(app: App, name: str, source: str | None, allow_code: bool, changes: dict[str, Any]) -> None:
    """Serve a new version or other settings beside a package; it is called NAME-canary until `promote` or `abort`.

    SOURCE is a path, or an address as for `tritonpm pull`.
    """
    from tritonpm.operations.canary import start

    with app.open() as context:
        view = start(context, name, source, changes, allow_code=allow_code)
    app.emit("LoadResult", view, lambda: echo(f"{view.name} serves beside {name}: {view.probe}."))
