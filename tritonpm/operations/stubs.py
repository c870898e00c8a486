"""Models that lost a stub on the workspace's own server: which they are, and how they are loaded anew."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError
from tritonpm.operations.server import own_server
from tritonpm.triton import stubs

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client


def bereft(context: Context, client: Client) -> set[str]:
    """The models that lost a stub, as far as that can be seen: of another machine's server nothing can."""
    if server := own_server(context):
        with suppress(ServerError):
            return stubs.bereft(server, client)
    return set()


def renew(context: Context, client: Client, models: Iterable[str]) -> None:
    """Have the next load of those of `models` that lost a stub be one in earnest.

    Triton does nothing where the model's files are as old as they were; the folder of a version counts as one.
    """
    wanted = set(models)
    for name in bereft(context, client) & wanted if wanted else ():
        date_anew(context, name)


def date_anew(context: Context, model: str) -> bool:
    """Make the versions of a model look new; whether it is in the workspace's repository."""
    folder = context.workspace.repository / model
    with suppress(OSError):  # a change has just replaced it, so it is new
        for version in folder.iterdir():
            if version.is_dir() and version.name.isdecimal():
                os.utime(version)
    return folder.is_dir()
