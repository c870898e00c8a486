"""Commands on what was published: its history, and the ways forward and back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.settings import setting_options
from tritonpm.cli.stores import REPOSITORY, prune_elsewhere
from tritonpm.core.errors import UsageError

if TYPE_CHECKING:
    from tritonpm.operations.views import Loaded

NAME = click.argument("name", metavar="NAME")
REVISION = click.argument("revision", type=int, required=False, metavar="[REV]")


@command("upgrade", examples="tritonpm upgrade bolts bolts-2.zip")
@NAME
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--allow-code", is_flag=True, help="Accept content that runs code on load (model.py, *.so, engines).")
@on_a_server
@reading
@pass_app
def upgrade_command(app: App, name: str, source: Path, allow_code: bool) -> None:
    """Put a new version of a package in the place of the one that is there; where it is loaded, live."""
    loaded = app.switching().upgrade(name, source, allow_code=allow_code)
    say_switched(app, name, loaded)


@command("history", examples="tritonpm history bolts\ntritonpm history bolts -o json")
@NAME
@reading
@pass_app
def history_command(app: App, name: str) -> None:
    """List the revisions of a package that are kept."""
    from tritonpm.cli.output import table

    listed = app.manager().history(name)
    columns = ("", "REVISION", "VERSION", "MODE", "DEVICE", "BATCH", "PRECISION", "PUBLISHED", "DIGEST")
    rows = (
        ("*" if e.current else "", e.number, e.version, e.mode, e.device, e.max_batch_size, e.precision,
         datetime.fromisoformat(e.published).strftime("%Y-%m-%d %H:%M:%S"), e.digest[:16])
        for e in listed
    )  # fmt: skip
    app.emit("History", listed, lambda: table(columns, rows))


@command("rollback", examples="tritonpm rollback bolts\ntritonpm rollback bolts 3")
@NAME
@REVISION
@on_a_server
@reading
@pass_app
def rollback_command(app: App, name: str, revision: int | None) -> None:
    """Go back to an earlier revision, its content and its settings; where the package is loaded, live."""
    loaded = app.switching().roll_back(name, revision)
    say_switched(app, name, loaded)


@command("diff", examples="tritonpm diff bolts 3 4\ntritonpm diff bolts 3")
@NAME
@click.argument("one", type=int, metavar="REV")
@click.argument("other", type=int, required=False, metavar="[REV]")
@pass_app
def diff_command(app: App, name: str, one: int, other: int | None) -> None:
    """Show what two revisions differ in, configs and files; the second is the current one where it is not named."""
    for line in app.manager().diff(name, one, other):
        click.echo(line)


@command(
    "prune",
    examples="""
    tritonpm prune bolts --keep 3
    tritonpm prune --keep 2 --repository s3://bucket/models
    tritonpm prune bolts --keep 0 --repository s3://bucket/models
    """,
)
@click.argument("name", metavar="NAME", required=False, default="")
@click.option("--keep", type=click.IntRange(0), default=10, show_default=True, help="How many revisions to keep.")
@REPOSITORY
@pass_app
def prune_command(app: App, name: str, keep: int, repository: str | None) -> None:
    """Forget old revisions, and the files that only they need; the current one always stays.

    In a repository elsewhere NAME may be left out, for all packages, and --keep 0 withdraws a package.
    """
    if repository:
        prune_elsewhere(app, repository, name, keep)
        return
    if not name or not keep:
        raise UsageError("NAME is missing" if not name else "the current revision always stays", where="prune",
                         do="name a package, and keep at least 1")  # fmt: skip
    gone, blobs = app.manager().prune(name, keep)
    app.say(f"Forgot {len(gone)} revisions of {name} and {blobs} files.")


@command(
    "canary", examples="tritonpm canary bolts bolts-2.zip\ntritonpm canary bolts --precision fp16 --optimizer auto"
)
@NAME
@click.argument("source", type=click.Path(path_type=Path), required=False, metavar="[SOURCE]")
@click.option("--allow-code", is_flag=True, help="Accept content that runs code on load (model.py, *.so, engines).")
@setting_options
@on_a_server
@reading
@pass_app
def canary_command(app: App, name: str, source: Path | None, allow_code: bool, changes: dict[str, Any]) -> None:
    """Serve a new version, or other settings, as NAME-canary beside a package; then `promote` or `abort` it."""
    from tritonpm.operations.canary import Canaries

    view = Canaries(app.switching()).start(name, source, changes, allow_code=allow_code)
    app.emit("LoadResult", view, lambda: click.echo(f"{view.name} serves beside {name}: {view.probe}."))


@command("promote", examples="tritonpm promote bolts")
@NAME
@on_a_server
@reading
@pass_app
def promote_command(app: App, name: str) -> None:
    """Let a canary take the place of its package, live."""
    from tritonpm.operations.canary import Canaries

    say_switched(app, name, Canaries(app.switching()).promote(name))


@command("abort", examples="tritonpm abort bolts")
@NAME
@on_a_server
@pass_app
def abort_command(app: App, name: str) -> None:
    """Give a canary up; its package serves on."""
    from tritonpm.operations.canary import Canaries

    Canaries(app.switching()).abort(name)
    app.say(f"Gave the canary of {name} up.")


def say_switched(app: App, name: str, loaded: Loaded | None) -> None:
    """Print what a live change came to."""
    if loaded is None:
        app.say(f"Changed {name}; it is not loaded.")
        return
    app.emit("LoadResult", loaded, lambda: click.echo(f"{name} serves revision {loaded.revision}: {loaded.probe}."))
