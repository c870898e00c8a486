"""`tritonpm prune`: forgets old revisions, here or in a repository elsewhere."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.completing import packages
from tritonpm.cli.options import REPOSITORY
from tritonpm.cli.store_output import say_pruned
from tritonpm.core.errors import UsageError
from tritonpm.core.units import number_of


@command(
    "prune",
    examples="""
    tritonpm prune bolts --keep 3
    tritonpm prune --keep 2 --repository s3://bucket/models
    tritonpm prune bolts --keep 0 --repository s3://bucket/models
    """,
)
@click.argument("name", metavar="NAME", required=False, default="", shell_complete=packages)
@click.option("--keep", type=click.IntRange(0), default=10, show_default=True, help="How many revisions to keep.")
@REPOSITORY
@pass_app
def prune_command(app: App, name: str, keep: int, repository: str | None) -> None:
    """Delete old revisions, and the files that only they need; the current one always stays.

    For a repository elsewhere, NAME may be left out to mean all packages, and --keep 0 withdraws a package.
    """
    if repository:
        prune_elsewhere(app, repository, name, keep)
        return
    if not name or not keep:
        raise UsageError("NAME is missing" if not name else "the current revision always stays", where="prune",
                         do="name a package, and keep at least 1")  # fmt: skip
    from tritonpm.operations.prune import prune

    with app.open() as context:
        gone, blobs = prune(context, name, keep)
    app.say(f"Deleted {number_of(len(gone), 'revision')} of {name} and {number_of(blobs, 'file')}.")


def prune_elsewhere(app: App, repository: str, name: str, keep: int) -> None:
    """Delete what only old revisions need in a repository elsewhere."""
    from tritonpm.operations import remote_repository as stores

    say_pruned(app, stores.prune(stores.opened(repository), keep, name))
