"""`tritonpm use`: a project says what it uses."""

from __future__ import annotations

import click

from tritonpm.cli.amounts import LIMIT
from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.options import NAME


@command(
    "use",
    examples="""
    tritonpm use bolts --project LINE-3 --ttl 3600
    tritonpm use bolts --project LINE-3 --release
    """,
)
@NAME
@click.option("--project", required=True, help="A production line, a client application, a job.")
@click.option("--ttl", type=LIMIT, default=60.0, show_default=True, help="Seconds after which the declaration expires.")
@click.option("--release", is_flag=True, help="The project no longer uses it.")
@pass_app
def use_command(app: App, name: str, project: str, ttl: float, release: bool) -> None:
    """Declare that a project uses a package: it is then not removed, and switched only live."""
    from tritonpm.operations import use

    with app.open() as context:
        if release:
            there = use.release(context, name, project)
            app.say(f"{project} no longer uses {name}." if there else f"{project} did not use {name}.")
            return
        use.use(context, name, project, ttl)
    app.say(f"{project} uses {name} for {ttl:g} s; repeat it within that time to extend it (--ttl asks for longer).")
