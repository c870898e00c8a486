"""Which revision a server answers for: its configuration carries the revision's name as a parameter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError
from tritonpm.core.types import REVISION

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.triton.client import Client

STALE = 15.0  # seconds for which a shared folder's or a store's old content may still be seen
_AGAIN = 1.1  # seconds; stores date objects to the second
OWN_FOLDER = "this workspace's model_repository"


def serves(client: Client, revision: Revision) -> bool:
    """Whether the server answers for this very revision."""
    config = next(file.text or "" for file in revision.models[-1].files if file.path == "config.pbtxt")
    name = client.config(revision.name).get("parameters", {}).get(REVISION, {}).get("string_value", "")
    return bool(name) and name in config


def load_revision(
    client: Client, revision: Revision, *, timeout: float, patience: float = 0.0, reads: str = OWN_FOLDER
) -> None:
    """Load until the server serves this very revision, again for at most `patience` seconds. Raises ServerError.

    `timeout` is of one load, in seconds; `reads` is what the server should read, for the error's sentence.
    """
    deadline = time.monotonic() + patience
    while True:
        client.load_and_wait(revision.name, timeout=timeout)
        if serves(client, revision):
            return
        if time.monotonic() >= deadline:
            what = "the server serves another revision than the one that was published"
            raise ServerError(what, where=client.where, do=f"check that it reads {reads}")
        time.sleep(_AGAIN)
