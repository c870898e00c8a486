"""Commands on repositories elsewhere: object stores and other folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.core.errors import TritonpmError

if TYPE_CHECKING:
    from tritonpm.operations.remote_repository import Published

REPOSITORY = click.option(
    "--repository", metavar="URL", help="Elsewhere: s3://BUCKET/PREFIX, gs://…, as://…, or a folder."
)


@command(
    "publish",
    examples="""
    tritonpm publish --repository s3://bucket/models
    tritonpm publish bolts nuts --repository s3://http://127.0.0.1:9000/bucket/models --prune 2
    tritonpm publish bolts --repository /srv/models
    """,
)
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option(
    "--repository", metavar="URL", required=True, help="s3://BUCKET/PREFIX, gs://…, as://…, or a folder of your own."
)
@click.option("--anew", is_flag=True, help="Send also what is there already: `verify` found it damaged.")
@click.option("--prune", "keep", type=click.IntRange(1), metavar="N", help="Then keep only the N newest revisions.")
@reading
@pass_app
def publish_command(app: App, names: tuple[str, ...], repository: str, anew: bool, keep: int | None) -> None:
    """Bring packages, all of them where none is named, into a repository elsewhere; only what is missing is sent."""
    from tritonpm.operations import remote_repository as stores

    store = stores.opened(repository)
    published = stores.publish(app.manager(), names, store, anew=anew)
    app.emit("Published", published, lambda: _say_published(published))
    if keep is not None:
        for each in published:
            say_pruned(app, stores.prune(store, keep, each.name))


def _say_published(published: list[Published]) -> None:
    for each in published:
        sent, serves = each.sent, ", ".join(each.versions)
        click.echo(
            f"Published {each.name}, revision {each.revision[:12]}, version {serves}: "
            f"{sent.sent} files sent ({sent.bytes} bytes), {sent.copied} copied, {sent.there} were there."
        )


def verify_elsewhere(app: App, repository: str) -> None:
    """Read all that a repository elsewhere is said to hold, and tell what is not as it was published."""
    from tritonpm.cli.output import table
    from tritonpm.operations import remote_repository as stores

    found = stores.verify(stores.opened(repository))
    rows = ((each.kind, each.name, each.sentence) for each in found)
    app.emit("Damages", found, lambda: table(("KIND", "WHAT", "PROBLEM"), rows) if found else app.say("All is whole."))
    if any(each.mendable for each in found):
        raise TritonpmError("not all is as it was published", do="`tritonpm publish --anew` sends it again")


def prune_elsewhere(app: App, repository: str, name: str, keep: int) -> None:
    """Delete what only old revisions need in a repository elsewhere."""
    from tritonpm.operations import remote_repository as stores

    say_pruned(app, stores.prune(stores.opened(repository), keep, name))


def say_pruned(app: App, pruned: object) -> None:
    """Print what went."""
    from tritonpm.operations.remote_repository import Pruned

    if isinstance(pruned, Pruned):
        app.say(f"Deleted {len(pruned.revisions)} revisions and {pruned.objects} files.")
