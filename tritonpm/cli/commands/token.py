"""`tritonpm token`: who may do what on the page and by its REST API."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.amounts import ABOVE_0
from tritonpm.cli.app import App, Group, command, pass_app, reading
from tritonpm.cli.output import echo
from tritonpm.core.roles import Role

_FILE = click.option(
    "--file", type=click.Path(path_type=Path), help="Where the tokens' digests are [default: the workspace's]."
)


@click.group(
    "token",
    cls=Group,
    examples="""
    tritonpm token add line-3 --role operate
    tritonpm token list
    tritonpm token remove line-3
    """,
)
def token_command() -> None:
    """Make and remove tokens for the page and its REST API.

    Each has a name and a role: people and programs do what it covers, and what they did is recorded under the name.
    Where there is a token, the page asks for one, on loopback too.
    """


@command("add", examples="tritonpm token add line-3 --role operate\ntritonpm token add auditor --role view --days 30")
@click.argument("name", metavar="NAME")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), required=True,
    help="view looks; operate loads, switches and optimises what is there, too; administer brings in and removes, too.",
)  # fmt: skip
@click.option("--days", type=ABOVE_0, help="It opens nothing after so many days.")
@_FILE
@pass_app
def add_command(app: App, name: str, role: str, days: float | None, file: Path | None) -> None:
    """Make a token and print it, once: what is kept of it is a digest."""
    from tritonpm.operations.token import add

    with app.open() as context:
        token = add(context, name, Role(role), days=days, file=file)
    echo(token)
    app.advise("It is shown this once: keep it where only who uses it can read it.")


@command("list", examples="tritonpm token list\ntritonpm token list -o json")
@_FILE
@reading
@pass_app
def list_command(app: App, file: Path | None) -> None:
    """List the tokens: names, roles, and until when they open."""
    from tritonpm.cli.output import table
    from tritonpm.operations.token import tokens

    with app.open() as context:
        known = tokens(context, file=file)
    rows = (
        (each.name, each.role.value, each.created, f"{each.expires} (expired)" if each.expired else each.expires)
        for each in known
    )
    app.emit("Tokens", known, lambda: table(("NAME", "ROLE", "CREATED", "EXPIRES"), rows))


@command("remove", examples="tritonpm token remove line-3")
@click.argument("name", metavar="NAME")
@_FILE
@pass_app
def remove_command(app: App, name: str, file: Path | None) -> None:
    """Forget a token, which opens nothing from now on, on a page that runs too."""
    from tritonpm.operations.token import remove

    with app.open() as context:
        left = remove(context, name, file=file)
    more = "" if left or file else " No token is left: a page on loopback is open to who works here."
    app.say(f"Removed {name}.{more}")


for _command in (add_command, list_command, remove_command):
    token_command.add_command(_command)
