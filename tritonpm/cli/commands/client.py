"""`tritonpm client`: prints code that asks a package."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import NAME
from tritonpm.cli.output import echo
from tritonpm.operations.code_languages import LANGUAGES


@command(
    "client",
    examples="""
    tritonpm client bolts > client.py
    tritonpm client bolts --language curl | sh
    tritonpm client bolts --language cpp --server triton:8000
    """,
)
@NAME
@click.option("--language", type=click.Choice([*LANGUAGES]), default="python", show_default=True)
@on_a_server
@reading
@pass_app
def client_command(app: App, name: str, language: str) -> None:
    """Print client code for a package and the server that runs.

    Python, curl, Java and JavaScript run as printed; C++ has to be compiled with Triton's client library.
    """
    from tritonpm.operations.client import client_code

    with app.open() as context:
        client = client_code(context, name, language)
    app.emit("ClientCode", client, lambda: echo(client.code, nl=False))
    for note in client.notes:
        app.advise(f"Note: {note}.")
