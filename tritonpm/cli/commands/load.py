"""`tritonpm load`: publishes a package and loads it."""

from __future__ import annotations

import click

from tritonpm.cli.amounts import WAIT
from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import LOAD_TIMEOUT, NAME, REPOSITORY
from tritonpm.cli.output import echo


@command(
    "load",
    examples="""
    tritonpm load bolts
    tritonpm load bolts --server 127.0.0.1:8000
    tritonpm load bolts --server triton:8000 --repository s3://bucket/models
    """,
)
@NAME
@click.option("--no-probe", is_flag=True, help="Do not run a probe inference.")
@LOAD_TIMEOUT
@click.option(
    "--wait", type=WAIT, default=0.0, help="Seconds to wait for a server that is starting up [default: none]."
)
@REPOSITORY
@on_a_server
@reading
@pass_app
def load_command(app: App, name: str, no_probe: bool, timeout: float, wait: float, repository: str | None) -> None:
    """Publish a package and load it; a probe inference proves that it answers.

    With --repository it is published there instead, for a server that reads that repository.
    """
    if repository:
        from tritonpm.operations import remote_repository as stores

        with app.open() as context:
            view = stores.load(context, name, stores.opened(repository), probe=not no_probe, timeout=timeout)
    else:
        from tritonpm.operations.load import load

        with app.open() as context:
            view = load(context, name, probe=not no_probe, timeout=timeout, wait=wait)
    revision = f", revision {view.revision}" if view.revision else ""
    app.emit("LoadResult", view, lambda: echo(f"Loaded {name}{revision}: {view.probe}."))
