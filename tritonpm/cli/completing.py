"""What a shell completes where an argument is not one of a few words: files, and the workspace's packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Of what may be a file or an address."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def packages(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of the workspace's packages; none where there is no workspace that can be read."""
    from tritonpm.catalogue import Listing, find
    from tritonpm.cli.app import App
    from tritonpm.core.errors import TritonpmError
    from tritonpm.operations.list import packages as listed

    try:
        workspace = find(context.ensure_object(App).workspace)
        return [package.name for package in listed(Listing.open(workspace)) if package.name.startswith(incomplete)]
    except (TritonpmError, OSError):  # nobody asked for anything yet
        return []
