"""What is done on one server of a context: prove a revision, move to it, go back, tidy up. Each may be done again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError
from tritonpm.operations import probe as probing
from tritonpm.triton.ensembles import inner, unload_unneeded
from tritonpm.triton.served_revision import serves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

_STALE = 15.0  # seconds for which a shared folder's or a store's old content may still be seen
_AGAIN = 1.1  # seconds; stores date objects to the second


@dataclass(frozen=True)
class Counted:
    """What a server's model has done so far."""

    successes: int
    failures: int


def prove(context: Context, client: Client, name: str, shadow: Revision, *, timeout: float) -> None:
    """Load a revision beside the one that serves, have it answer, and take it away. Raises ServerError."""
    client.load_and_wait(shadow.name, timeout=timeout)
    probing.probe(context, client, context.catalogue.get(name), model=shadow.name)
    client.unload_and_wait(shadow.name)


def move(context: Context, client: Client, revision: Revision, *, timeout: float) -> str:
    """Serve what the repository holds now, and have it answer; what was proved. Raises ServerError."""
    bring(client, revision, timeout=timeout)
    return probing.probe(context, client, context.catalogue.get(revision.name))


def bring(client: Client, revision: Revision, *, timeout: float) -> None:
    """Load until the server serves this very revision. Raises ServerError."""
    deadline = time.monotonic() + _STALE
    while True:
        client.load_and_wait(revision.name, timeout=timeout)
        if serves(client, revision):
            return
        if time.monotonic() > deadline:
            what = "it serves another revision than the one that was published"
            raise ServerError(what, where=client.where, do="check that it reads the context's repository")
        time.sleep(_AGAIN)


def tidy(context: Context, client: Client, name: str, more: Iterable[str] = ()) -> None:
    """Unload rehearsals and members of other revisions, and `more`, where nothing needs them. Raises ServerError."""
    stale = {each for each in client.serving() if each.startswith(f"{name}.")}
    unload_unneeded(client, stale.union(more, context.catalogue.models_ever(name)) - {name})


def counted(client: Client, name: str) -> Counted:
    """How many requests a model has answered and failed. Raises ServerError, NotFoundError."""
    found = client.statistics(name)
    return Counted(sum(each.success.count for each in found), sum(each.fail.count for each in found))


def synchronised(context: Context, client: Client, wanted: Collection[str], *, timeout: float) -> list[str]:
    """Make a server serve `wanted` as the catalogue says, and no other package of ours; what was done.

    Models that are of no package here are left alone, and so is what of ours is loaded right. Raises ServerError.
    """
    revisions = {revision.name: revision for revision in context.catalogue.published()}
    ready = client.serving()
    done = []
    for name in sorted(set(wanted) & revisions.keys()):
        if name not in ready or not serves(client, revisions[name]):
            move(context, client, revisions[name], timeout=timeout)
            done.append(f"loaded {name}")
    for name in sorted((ready & {entry.name for entry in context.catalogue.packages()}) - set(wanted)):
        client.unload_and_wait(name)
        done.append(f"unloaded {name}")
    unload_unneeded(client, inner(client))
    return done
