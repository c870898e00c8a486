"""`tritonpm publish`: packages into a repository elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.completing import packages
from tritonpm.cli.output import echo
from tritonpm.cli.store_output import say_pruned
from tritonpm.core.units import number_of

if TYPE_CHECKING:
    from tritonpm.operations.remote_repository import StoredPackage


@command(
    "publish",
    examples="""
    tritonpm publish --repository s3://bucket/models
    tritonpm publish bolts nuts --repository s3://http://127.0.0.1:9000/bucket/models --prune 2
    tritonpm publish bolts --repository /srv/models
    """,
)
@click.argument("names", metavar="[NAME…]", nargs=-1, shell_complete=packages)
@click.option("--repository", metavar="URL", required=True, help="s3://BUCKET/PREFIX, gs://…, as://…, or a folder.")
@click.option("--anew", is_flag=True, help="Also send what is there already, for example after `verify` found damage.")
@click.option(
    "--prune", "keep", type=click.IntRange(1), metavar="N", help="Afterwards keep only the N newest revisions."
)
@reading
@pass_app
def publish_command(app: App, names: tuple[str, ...], repository: str, anew: bool, keep: int | None) -> None:
    """Publish packages, by default all of them, to a repository elsewhere; only what is missing is sent."""
    from tritonpm.operations import remote_repository as stores

    store = stores.opened(repository)
    with app.open() as context:
        published = stores.publish(context, names, store, anew=anew)
    app.emit("Published", published, lambda: _say_published(published))
    if keep is not None:
        for package in published:
            say_pruned(app, stores.prune(store, keep, package.name))


def _say_published(published: list[StoredPackage]) -> None:
    for package in published:
        sent, serves = package.sent, ", ".join(package.versions)
        echo(
            f"Published {package.name}, revision {package.revision[:12]}, version {serves}: "
            f"{number_of(sent.sent, 'file')} sent ({sent.bytes} bytes), {sent.copied} copied, {sent.there} were there."
        )
