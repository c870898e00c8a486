"""`tritonpm token`: who may do what on the page and through its REST API."""

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

    Each token has a name and a role, which says what people and programs may do with it; what they do is recorded
    under its name. Once there is a token, the page asks for one, on loopback too.
    """


@command("add", examples="tritonpm token add line-3 --role operate\ntritonpm token add auditor --role view --days 30")
@click.argument("name", metavar="NAME")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), required=True,
    help="view: see everything; operate: also load, switch and optimise; administer: also import and remove.",
)  # fmt: skip
@click.option("--days", type=ABOVE_0, help="Days until it expires [default: never].")
@_FILE
@pass_app
def add_command(app: App, name: str, role: str, days: float | None, file: Path | None) -> None:
    """Make a token and print it once; only its digest is kept."""
    from tritonpm.operations.token import add

    with app.open() as context:
        token = add(context, name, Role(role), days=days, file=file)
    echo(token)
    app.advise("It is shown only this once: keep it where nobody but its user can read it.")


@command("list", examples="tritonpm token list\ntritonpm token list -o json")
@_FILE
@reading
@pass_app
def list_command(app: App, file: Path | None) -> None:
    """List the tokens: names, roles, and when they expire."""
    from tritonpm.cli.output import table
    from tritonpm.operations.token import tokens

    with app.open() as context:
        known = tokens(context, file=file)
    rows = (
        (each.name, each.role.value, each.created, f"{each.expires} (expired)" if each.expired else each.expires)
        for each in known
    )
    app.emit("Tokens", known, lambda: table(("NAME", "ROLE", "CREATED", "EXPIRES"), rows))
    if not known:
        app.advise("No tokens yet; `tritonpm token add NAME` makes one.")


@command("remove", examples="tritonpm token remove line-3")
@click.argument("name", metavar="NAME")
@_FILE
@pass_app
def remove_command(app: App, name: str, file: Path | None) -> None:
    """Remove a token; it is invalid at once, even on a page that is running."""
    from tritonpm.operations.token import remove

    with app.open() as context:
        left = remove(context, name, file=file)
    more = "" if left or file else " No token is left: the page on loopback is open to anybody on this machine."
    app.say(f"Removed {name}.{more}")


for _command in (add_command, list_command, remove_command):
    token_command.add_command(_command)
