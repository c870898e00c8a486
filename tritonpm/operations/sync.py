"""`tritonpm sync`: the server serves what was proved, and nothing of ours beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from tritonpm.core.errors import TritonpmError
from tritonpm.operations.audit import acting
from tritonpm.operations.load import load_proved
from tritonpm.operations.local_repository import changing, tidy
from tritonpm.operations.server import await_return, connect, is_elsewhere
from tritonpm.operations.stubs import bereft
from tritonpm.operations.unload import unload
from tritonpm.triton.ensembles import inner, members_of, unneeded
from tritonpm.triton.served_revision import serves

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def sync(context: Context, names: Collection[str] | None = None) -> Iterator[tuple[str, str, str]]:
    """Make the server serve the proved revisions, of `names` or all: (what was done, package, why it could not be).

    Models of no package here are left alone, and so are packages that are loaded elsewhere; members and rehearsals that
    a broken change left behind are not, nor are their folders. Who asks for all waits for a server that has just ended.
    """
    with acting(context, "sync") if names is None else nullcontext():  # of some, nobody has asked for it
        yield from _synchronised(context, names)


def _synchronised(context: Context, names: Collection[str] | None) -> Iterator[tuple[str, str, str]]:
    if names is None:
        await_return(context)
    for done, name in _todo(context, names):
        try:
            if done == "loaded":
                load_proved(context, name, only_wanted=True)
            else:
                unload(context, name, force=True)
        except TritonpmError as error:
            yield done, name, str(error)
        else:
            yield done, name, ""
    with connect(context) as client, changing(context, "sync"):
        for entry in context.catalogue.packages():
            tidy(context, entry.name)
        for name in unneeded(client, inner(client)):
            try:
                client.unload_and_wait(name)
            except TritonpmError as error:
                yield "tidied", name, str(error)
            else:
                yield "tidied", name, ""


def _todo(context: Context, names: Collection[str] | None) -> list[tuple[str, str]]:
    todo = []
    with connect(context) as client, changing(context, "sync"):
        states, lacking = client.serving(), bereft(context, client)
        for entry in context.catalogue.packages():
            if is_elsewhere(context, entry.server) or (names is not None and entry.name not in names):
                continue
            there, proved = entry.name in states, context.catalogue.proved(entry.name)
            right = there and (proved is None or serves(client, proved.revision))
            right = right and not (lacking and lacking & {entry.name, *members_of(proved.revision if proved else None)})
            if entry.wanted and not (right and entry.status == "loaded"):
                todo.append(("loaded", entry.name))
            elif there and not entry.wanted:
                todo.append(("unloaded", entry.name))
    return todo
