"""`tritonpm fleet`: what is done on all servers of a context."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, F, Group, command, on_a_context, pass_app, reading
from tritonpm.cli.fleet_sync import synchronise
from tritonpm.cli.headings import SETTINGS
from tritonpm.cli.options import ALLOW_CODE, NAME, SOURCE
from tritonpm.cli.output import echo
from tritonpm.cli.setting_options import UNSET, Words, named, setting_options
from tritonpm.fleet.waves import Pace

if TYPE_CHECKING:
    from tritonpm.operations.fleet.place import PlacementPlan
    from tritonpm.operations.fleet.roll_out import RolledOut
    from tritonpm.operations.fleet.status import FleetView


def at_a_pace(function: F) -> F:
    """Add the options that say how fast a fleet changes; the command gets them as `pace`."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, pace=Pace(**{name: kwargs.pop(name) for name in vars(Pace())}), **kwargs)

    wrapped: Any = call
    for name, sentence in reversed(
        (
            ("wave", "How many servers at once, or what share of them, after a first one alone."),
            ("soak", "Seconds for which each wave must prove itself under its own traffic."),
            ("failing", "Roll back if more than this share of requests fails during a --soak."),
            ("max_unavailable", "How many servers may be down; they catch up with `sync`."),
            ("timeout", "Seconds per load."),
        )
    ):
        default = getattr(Pace, name)
        flag = f"--{name.replace('_', '-')}"
        wrapped = click.option(flag, default=default, show_default=True, help=sentence)(wrapped)
    return wrapped  # type: ignore[no-any-return]


@click.group(
    "fleet",
    cls=Group,
    examples="""
    tritonpm fleet load bolts
    tritonpm fleet upgrade bolts bolts-2.zip --wave 10% --soak 30
    tritonpm fleet status
    """,
)
def fleet_command() -> None:
    """Serve packages on all servers of a context; changes roll out in waves, or not at all."""


@command("status", examples="tritonpm fleet status\ntritonpm fleet status --context prod -o json")
@on_a_context
@reading
@pass_app
def status_command(app: App) -> None:
    """Show every server: whether it is live, and which packages it serves."""
    from tritonpm.operations.fleet.status import status

    with app.open() as context:
        view = status(context, app.context)
    app.emit("Fleet", view, lambda: _describe(view))
    for server in view.servers:
        if server.behind:
            app.advise(f"Drift: {server.name} does not serve {', '.join(server.behind)} as it should.")
    if view.unfinished:
        app.advise(f"The roll-out of {view.unfinished} has not ended; `tritonpm fleet sync` continues it.")


@command("load", examples="tritonpm fleet load bolts\ntritonpm fleet load bolts --on a:8000 --on zone=west")
@NAME
@click.option(
    "--on", "servers", multiple=True, metavar="SERVER", help="A server, or servers with LABEL=VALUE (repeatable)."
)
@at_a_pace
@on_a_context
@reading
@pass_app
def load_command(app: App, name: str, servers: tuple[str, ...], pace: Pace) -> None:
    """Publish a package and load it: where it is placed, or by default on all servers."""
    from tritonpm.operations.fleet.roll_out import load

    with app.open() as context:
        rolled = load(context, app.context, name, servers, pace)
    say_rolled_out(app, rolled)


@command("upgrade", examples="tritonpm fleet upgrade bolts bolts-2.zip --wave 10% --soak 30")
@NAME
@SOURCE
@ALLOW_CODE
@at_a_pace
@on_a_context
@reading
@pass_app
def upgrade_command(app: App, name: str, source: str, allow_code: bool, pace: Pace) -> None:
    """Replace a package with a new version, on every server or on none.

    SOURCE is a path, or an address as for `tritonpm pull`.
    """
    from tritonpm.operations.fleet.roll_out import upgrade

    with app.open() as context:
        rolled = upgrade(context, app.context, name, source, pace, allow_code=allow_code)
    say_rolled_out(app, rolled)


@command("rollback", examples="tritonpm fleet rollback bolts\ntritonpm fleet rollback bolts 3")
@NAME
@click.argument("revision", type=int, required=False, metavar="[REV]")
@at_a_pace
@on_a_context
@reading
@pass_app
def rollback_command(app: App, name: str, revision: int | None, pace: Pace) -> None:
    """Go back to the revision that served before, on every server or on none."""
    from tritonpm.operations.fleet.roll_out import rollback

    with app.open() as context:
        rolled = rollback(context, app.context, name, revision, pace)
    say_rolled_out(app, rolled)


@command(
    "set",
    examples="tritonpm fleet set bolts --max-batch-size 8\ntritonpm fleet set bolts --precision fp16",
    headings=SETTINGS,
)
@NAME
@click.option("--stage", help="Change only this stage of a cascade.")
@UNSET
@setting_options
@at_a_pace
@on_a_context
@reading
@pass_app
def set_command(
    app: App, name: str, stage: str | None, unset: tuple[tuple[str, ...], ...], changes: dict[str, Any], pace: Pace
) -> None:
    """Change how a package is served, on every server or on none."""
    gone = named(unset)
    if not changes and not gone:
        raise click.UsageError("nothing to change was given")
    from tritonpm.operations.fleet.roll_out import change

    with app.open() as context:
        rolled = change(context, app.context, name, changes, pace, stage=stage, unset=gone)
    say_rolled_out(app, rolled)


@command(
    "place",
    examples="""
    tritonpm fleet place
    tritonpm fleet place bolts nuts --replicas 2 --spread zone
    tritonpm fleet place --replicas 2 --apart bolts,nuts --apply
    """,
)
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option(
    "--replicas", type=click.IntRange(1), default=1, show_default=True, help="The number of servers for each package."
)
@click.option("--spread", default="", metavar="LABEL", help="Spread replicas over the values of this label.")
@click.option(
    "--apart", type=Words(), multiple=True, metavar="A,B", help="Packages that must not share a server (repeatable)."
)
@click.option("--apply", "applied", is_flag=True, help="Carry out the plan; otherwise it is only shown.")
@at_a_pace
@on_a_context
@reading
@pass_app
def place_command(app: App, /, names: tuple[str, ...], applied: bool, pace: Pace, **wishes: Any) -> None:
    """Plan which package goes on which server, by memory; packages stay where they are if they fit."""
    from tritonpm.operations.fleet.place import apply, plan

    with app.open() as context:
        placement = plan(context, app.context, names, **wishes)
        app.emit("Placement", placement, lambda: _describe_plan(placement))
        if applied:
            for sentence in apply(context, placement, pace):
                app.advise(sentence)


@command("unload", examples="tritonpm fleet unload bolts\ntritonpm fleet unload bolts --on zone=west")
@NAME
@click.option(
    "--on",
    "servers",
    multiple=True,
    metavar="SERVER",
    help="Only from this server, or servers with LABEL=VALUE (repeatable).",
)
@click.option("--force", is_flag=True, help="Do it even while it is in use.")
@on_a_context
@pass_app
def unload_command(app: App, name: str, servers: tuple[str, ...], force: bool) -> None:
    """Unload a package from every server, or from some. Refused while it is in use."""
    from tritonpm.core.errors import ServerError
    from tritonpm.operations.fleet.unload import unload

    with app.open() as context:
        failed = unload(context, app.context, name, servers, force=force)
    if failed:
        what = f"{name} was not unloaded everywhere: {'; '.join(f'{server} ({why})' for server, why in failed)}"
        raise ServerError(what, do="`tritonpm fleet sync` once they answer")
    app.say(f"Unloaded {name}.")


@command("sync", examples="tritonpm fleet sync\ntritonpm fleet sync --context prod")
@at_a_pace
@on_a_context
@pass_app
def sync_command(app: App, pace: Pace) -> None:
    """Finish or undo an interrupted roll-out, then make every server serve what it should."""
    synchronise(app, pace)


for _command in (status_command, load_command, upgrade_command, rollback_command, set_command, place_command,
                 unload_command, sync_command):  # fmt: skip
    fleet_command.add_command(_command)


def say_rolled_out(app: App, rolled: RolledOut) -> None:
    """Print what a roll-out came to."""
    app.emit("RollOut", rolled, lambda: echo(_sentence(rolled)))
    if rolled.left_out:
        app.advise(f"{', '.join(rolled.left_out)} did not answer; `tritonpm fleet sync` once they do.")


def _sentence(rolled: RolledOut) -> str:
    count = len(rolled.servers)
    return f"{rolled.name} serves revision {rolled.revision} on {count} server{'s' * (count > 1)}: {rolled.probe}."


def _describe(view: FleetView) -> None:
    from tritonpm.cli.output import facts, table

    facts((("context", view.context), ("repository", view.repository)))
    echo()
    rows = (
        (s.name, s.state, s.version, ", ".join(s.packages), ", ".join(s.behind), s.memory_mb or "",
         ", ".join(f"{key}={value}" for key, value in s.labels.items()))
        for s in view.servers
    )  # fmt: skip
    table(("SERVER", "STATE", "VERSION", "SERVES", "BEHIND", "MEMORY MiB", "LABELS"), rows)


def _describe_plan(plan: PlacementPlan) -> None:
    from tritonpm.cli.output import table

    packages = (
        (p.package, p.memory_mb, p.how, *(", ".join(where) for where in (p.servers, p.load, p.unload)), p.missing or "")
        for p in plan.packages
    )
    table(("PACKAGE", "MiB", "KNOWN", "SERVERS", "TO LOAD", "TO UNLOAD", "MISSING"), packages)
    echo()
    servers = ((s.name, s.memory_mb, s.taken_mb, s.packages) for s in plan.servers)
    table(("SERVER", "MiB", "PLACED MiB", "PACKAGES"), servers)
