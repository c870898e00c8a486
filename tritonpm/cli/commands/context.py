"""`tritonpm context`: groups of servers that read one repository."""

from __future__ import annotations

from typing import Any

import click

from tritonpm.cli.app import App, Group, command, pass_app, reading, shown_to_servers
from tritonpm.cli.setting_options import Pair
from tritonpm.core.units import number_of

CONTEXT = click.argument("name", metavar="CONTEXT")


@click.group(
    "context",
    cls=Group,
    examples="""
    tritonpm context add prod --url http://a:8000 --url http://b:8000 --memory-mb 16384 --label zone=east
    tritonpm context add prod --url http://c:8000 --memory-mb 24576 --label zone=west
    tritonpm context use prod
    """,
)
def context_command() -> None:
    """Name groups of Triton servers that read one repository."""


@command("add", examples="tritonpm context add prod --url http://a:8000 --url http://b:8000 --memory-mb 16384")
@CONTEXT
@click.option("--url", "urls", multiple=True, metavar="URL", help="A server: http, https, grpc or grpcs (repeatable).")
@click.option(
    "--memory-mb", type=click.IntRange(0), default=0, help="Memory that models may use on each of them, in MiB."
)
@click.option(
    "--label", "labels", type=Pair(), multiple=True, help="A label for each of them, e.g. zone=east (repeatable)."
)
@click.option(
    "--repository", metavar="URL", help="The repository that they read [default: this workspace's model_repository]."
)
@shown_to_servers
@pass_app
def add_command(
    app: App, name: str, urls: tuple[str, ...], memory_mb: int, labels: Any, repository: str | None
) -> None:
    """Create a context, or add servers to one."""
    from tritonpm.fleet.context import FleetServer, ServerAccess
    from tritonpm.operations.fleet.contexts import add

    access = ServerAccess(
        str(app.token.absolute()) if app.token else None, app.ca, app.certificate, app.key, app.timeout
    )
    servers = [FleetServer(url, memory_mb, dict(labels)) for url in urls]
    with app.open() as context:
        fleet = add(context, name, servers, access, repository)
    app.say(f"{name} has {number_of(len(fleet.servers), 'server')}.")


@command("list", examples="tritonpm context list\ntritonpm context list -o json")
@reading
@pass_app
def list_command(app: App) -> None:
    """List the contexts; a star marks the default one."""
    from tritonpm.cli.output import table
    from tritonpm.operations.fleet.contexts import contexts

    with app.open() as context:
        known = contexts(context)
    rows = (
        ("*" if name == known.current else "", name, len(fleet.servers), ", ".join(sorted(fleet.placed)),
         fleet.repository)
        for name, fleet in known.contexts.items()
    )  # fmt: skip
    app.emit("Contexts", known, lambda: table(("", "CONTEXT", "SERVERS", "PACKAGES", "REPOSITORY"), rows))
    if not known.contexts:
        app.advise("No contexts yet; `tritonpm context add NAME --url URL` creates one.")


@command("use", examples="tritonpm context use prod")
@CONTEXT
@pass_app
def use_command(app: App, name: str) -> None:
    """Choose the default context."""
    from tritonpm.operations.fleet.contexts import use

    with app.open() as context:
        use(context, name)
    app.say(f"{name} is the current context.")


@command("remove", examples="tritonpm context remove prod\ntritonpm context remove prod --url http://c:8000")
@CONTEXT
@click.option("--url", "urls", multiple=True, metavar="URL", help="Only this server (repeatable).")
@click.option("--force", is_flag=True, help="Do it even while packages are on it.")
@pass_app
def remove_command(app: App, name: str, urls: tuple[str, ...], force: bool) -> None:
    """Remove a context, or a server from it; the servers keep serving."""
    from tritonpm.operations.fleet.contexts import remove

    with app.open() as context:
        remove(context, name, urls, force=force)
    app.say(f"Removed {', '.join(urls) + ' from ' if urls else ''}{name}.")


for _command in (add_command, list_command, use_command, remove_command):
    context_command.add_command(_command)
