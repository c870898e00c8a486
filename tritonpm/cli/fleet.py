"""Commands on many servers: contexts, which say where they are, and what is done on all servers of one."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, F, Group, command, on_a_context, pass_app, reading, shown_to_servers
from tritonpm.cli.settings import Pair, Words, setting_options
from tritonpm.fleet.waves import Pace

if TYPE_CHECKING:
    from tritonpm.operations.fleet.place import Plan
    from tritonpm.operations.fleet.roll_out import Rolling
    from tritonpm.operations.fleet.run import RolledOut
    from tritonpm.operations.fleet.servers import Fleet, FleetView
    from tritonpm.operations.views import Loaded

NAME = click.argument("name", metavar="NAME")
CONTEXT = click.argument("name", metavar="CONTEXT")


def at_a_pace(function: F) -> F:
    """Add the options that say how fast a fleet changes; the command gets them as `pace`."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, pace=Pace(**{name: kwargs.pop(name) for name in vars(Pace())}), **kwargs)

    wrapped: Any = call
    for name, said in reversed(
        (
            ("wave", "So many servers at once, or that part of them, after a first one alone."),
            ("soak", "Seconds that each wave has to prove itself under its own traffic."),
            ("failing", "Go back where more than this share of the requests fails in a --soak."),
            ("max_unavailable", "So many servers may not answer; they follow with `sync`."),
            ("timeout", "Seconds for one load."),
        )
    ):
        default = getattr(Pace, name)
        flag = f"--{name.replace('_', '-')}"
        wrapped = click.option(flag, default=default, show_default=True, help=said)(wrapped)
    return wrapped  # type: ignore[no-any-return]


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
@click.option("--memory-mb", type=click.IntRange(0), default=0, help="What models may take on each of them, in MiB.")
@click.option("--label", "labels", type=Pair(), multiple=True, help="Of each of them, e.g. zone=east (repeatable).")
@click.option("--repository", metavar="URL", help="What they read [default: this workspace's model_repository].")
@shown_to_servers
@pass_app
def add_command(
    app: App, name: str, urls: tuple[str, ...], memory_mb: int, labels: Any, repository: str | None
) -> None:
    """Make a context, or add servers to one."""
    from tritonpm.fleet.context import Access, Server
    from tritonpm.operations.fleet import servers as fleets

    access = Access(str(app.token.absolute()) if app.token else None, app.ca, app.certificate, app.key, app.timeout)
    servers = [Server(url, memory_mb, dict(labels)) for url in urls]
    made = fleets.add(app.manager(), name, servers, access, repository)
    app.say(f"{name} has {len(made.servers)} servers.")


@command("list", examples="tritonpm context list\ntritonpm context list -o json")
@reading
@pass_app
def list_command(app: App) -> None:
    """List the contexts; a star marks the one that is meant where none is named."""
    from tritonpm.cli.output import table
    from tritonpm.fleet.context import Contexts

    found = Contexts.of(app.manager().workspace.state)
    rows = (
        ("*" if name == found.current else "", name, len(each.servers), ", ".join(sorted(each.placed)), each.repository)
        for name, each in found.contexts.items()
    )
    app.emit("Contexts", found, lambda: table(("", "CONTEXT", "SERVERS", "PACKAGES", "REPOSITORY"), rows))


@command("use", examples="tritonpm context use prod")
@CONTEXT
@pass_app
def use_command(app: App, name: str) -> None:
    """Choose the context that is meant where none is named."""
    from tritonpm.operations.fleet import servers as fleets

    fleets.use(app.manager(), name)
    app.say(f"{name} is the current context.")


@command("remove", examples="tritonpm context remove prod\ntritonpm context remove prod --url http://c:8000")
@CONTEXT
@click.option("--url", "urls", multiple=True, metavar="URL", help="Only this server (repeatable).")
@click.option("--force", is_flag=True, help="Also while packages are on it.")
@pass_app
def remove_command(app: App, name: str, urls: tuple[str, ...], force: bool) -> None:
    """Forget a context, or a server of it; its servers serve on."""
    from tritonpm.operations.fleet import servers as fleets

    fleets.remove(app.manager(), name, urls, force=force)
    app.say(f"Removed {', '.join(urls) + ' from ' if urls else ''}{name}.")


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
    """Serve packages on all servers of a context, and change them wave by wave, or not at all."""


@command("status", examples="tritonpm fleet status\ntritonpm fleet status --context prod -o json")
@on_a_context
@reading
@pass_app
def status_command(app: App) -> None:
    """Show every server: whether it is live, and which packages it serves."""
    view = _fleet(app).status()
    app.emit("Fleet", view, lambda: _describe(view))
    for server in view.servers:
        if server.behind:
            app.advise(f"Drift: {server.name} does not serve {', '.join(server.behind)} as it shall.")
    if view.unfinished:
        app.advise(f"The roll-out of {view.unfinished} has not ended; `tritonpm fleet sync` goes on with it.")


@command("load", examples="tritonpm fleet load bolts\ntritonpm fleet load bolts --on a:8000 --on zone=west")
@NAME
@click.option("--on", "servers", multiple=True, metavar="SERVER", help="A server, or LABEL=VALUE (repeatable).")
@at_a_pace
@on_a_context
@reading
@pass_app
def load_command(app: App, name: str, servers: tuple[str, ...], pace: Pace) -> None:
    """Publish a package and load it, where it is or shall be too; on all servers where nothing else is said."""
    say_rolled_out(app, _rolling(app, pace).load(name, servers))


@command("upgrade", examples="tritonpm fleet upgrade bolts bolts-2.zip --wave 10% --soak 30")
@NAME
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--allow-code", is_flag=True, help="Accept content that runs code on load (model.py, *.so, engines).")
@at_a_pace
@on_a_context
@reading
@pass_app
def upgrade_command(app: App, name: str, source: Path, allow_code: bool, pace: Pace) -> None:
    """Put a new version of a package in the place of the one that is there, on every server or on none."""
    say_rolled_out(app, _rolling(app, pace).upgrade(name, source, allow_code=allow_code))


@command("rollback", examples="tritonpm fleet rollback bolts\ntritonpm fleet rollback bolts 3")
@NAME
@click.argument("revision", type=int, required=False, metavar="[REV]")
@at_a_pace
@on_a_context
@reading
@pass_app
def rollback_command(app: App, name: str, revision: int | None, pace: Pace) -> None:
    """Go back to an earlier revision, its content and its settings, on every server or on none."""
    say_rolled_out(app, _rolling(app, pace).roll_back(name, revision))


@command("set", examples="tritonpm fleet set bolts --max-batch-size 8\ntritonpm fleet set bolts --precision fp16")
@NAME
@click.option("--stage", help="Change one stage of a cascade only.")
@setting_options
@at_a_pace
@on_a_context
@reading
@pass_app
def set_command(app: App, name: str, stage: str | None, changes: dict[str, Any], pace: Pace) -> None:
    """Change how a package is served, on every server or on none."""
    if not changes:
        raise click.UsageError("nothing to change was given")
    say_rolled_out(app, _rolling(app, pace).set(name, changes, stage=stage))


@command(
    "place",
    examples="""
    tritonpm fleet place
    tritonpm fleet place bolts nuts --replicas 2 --spread zone
    tritonpm fleet place --replicas 2 --apart bolts,nuts --apply
    """,
)
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("--replicas", type=click.IntRange(1), default=1, show_default=True, help="On how many servers each.")
@click.option("--spread", default="", metavar="LABEL", help="Replicas on as many values of this label as there are.")
@click.option("--apart", type=Words(), multiple=True, metavar="A,B", help="Never on one server (repeatable).")
@click.option("--apply", "applied", is_flag=True, help="Load and unload so; without it the plan is only shown.")
@at_a_pace
@on_a_context
@reading
@pass_app
def place_command(app: App, /, names: tuple[str, ...], applied: bool, pace: Pace, **told: Any) -> None:
    """Plan which package goes on which server, by memory; what is placed already stays where it fits."""
    from tritonpm.operations.fleet.place import Placing

    placing = Placing(app.serving(), app.context, pace)
    plan = placing.plan(names, **told)
    app.emit("Placement", plan, lambda: _describe_plan(plan))
    if applied:
        for sentence in placing.applied(plan):
            app.advise(sentence)


@command("unload", examples="tritonpm fleet unload bolts\ntritonpm fleet unload bolts --on zone=west")
@NAME
@click.option("--on", "servers", multiple=True, metavar="SERVER", help="Only from it, or LABEL=VALUE (repeatable).")
@click.option("--force", is_flag=True, help="Also while it is in use.")
@on_a_context
@pass_app
def unload_command(app: App, name: str, servers: tuple[str, ...], force: bool) -> None:
    """Unload a package from every server, or from some. Refused while it is in use."""
    from tritonpm.core.errors import ServerError

    failed = _fleet(app).unload(name, servers, force=force)
    if failed:
        what = f"{name} was not unloaded everywhere: {'; '.join(f'{server} ({why})' for server, why in failed)}"
        raise ServerError(what, do="`tritonpm fleet sync` once they answer")
    app.say(f"Unloaded {name}.")


@command("sync", examples="tritonpm fleet sync\ntritonpm fleet sync --context prod")
@at_a_pace
@on_a_context
@pass_app
def sync_command(app: App, pace: Pace) -> None:
    """Finish or undo a roll-out that was cut, then make every server serve what it shall."""
    synchronise(app, pace)


for _each in (add_command, list_command, use_command, remove_command):
    context_command.add_command(_each)
for _each in (status_command, load_command, upgrade_command, rollback_command, set_command, place_command,
              unload_command, sync_command):  # fmt: skip
    fleet_command.add_command(_each)


def synchronise(app: App, pace: Pace | None = None) -> None:
    """Make every server of a context serve what it shall, and tell what was done."""
    from tritonpm.core.errors import ServerError

    failed = []
    for server, done, reason in _fleet(app).sync(pace or Pace()):
        if reason or done:
            app.say(f"{server}: {reason or done}.")
        failed += [server] if reason else []
    if failed:
        raise ServerError(f"{', '.join(failed)} could not be synchronised", do="see `tritonpm fleet status`")


def say_rolled_out(app: App, rolled: Loaded | None) -> None:
    """Print what a roll-out came to."""
    from tritonpm.operations.fleet.run import RolledOut

    if not isinstance(rolled, RolledOut):
        return
    app.emit("RollOut", rolled, lambda: click.echo(_told(rolled)))
    if rolled.left_out:
        app.advise(f"{', '.join(rolled.left_out)} did not answer; `tritonpm fleet sync` once they do.")


def _told(rolled: RolledOut) -> str:
    count = len(rolled.servers)
    return f"{rolled.name} serves revision {rolled.revision} on {count} server{'s' * (count > 1)}: {rolled.probe}."


def _describe(view: FleetView) -> None:
    from tritonpm.cli.output import facts, table

    facts((("context", view.context), ("repository", view.repository)))
    click.echo()
    rows = (
        (s.name, s.state, s.version, ", ".join(s.packages), ", ".join(s.behind), s.memory_mb or "",
         ", ".join(f"{key}={value}" for key, value in s.labels.items()))
        for s in view.servers
    )  # fmt: skip
    table(("SERVER", "STATE", "VERSION", "SERVES", "BEHIND", "MEMORY MiB", "LABELS"), rows)


def _describe_plan(plan: Plan) -> None:
    from tritonpm.cli.output import table

    packages = (
        (e.package, e.memory_mb, e.how, *(", ".join(where) for where in (e.servers, e.load, e.unload)), e.missing or "")
        for e in plan.packages
    )
    table(("PACKAGE", "MiB", "KNOWN", "SERVERS", "TO LOAD", "TO UNLOAD", "MISSING"), packages)
    click.echo()
    servers = ((e.name, e.memory_mb, e.taken_mb, e.packages) for e in plan.servers)
    table(("SERVER", "MiB", "PLACED MiB", "PACKAGES"), servers)


def _fleet(app: App) -> Fleet:
    from tritonpm.operations.fleet.servers import Fleet

    return Fleet(app.serving(), app.context)


def _rolling(app: App, pace: Pace) -> Rolling:
    from tritonpm.operations.fleet.roll_out import Rolling

    return Rolling(app.serving(), app.context, pace)
