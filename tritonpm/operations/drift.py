"""Where what is wanted, what was proved and what serves differ: one sentence each, with the command that closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.operations.list import unproved
from tritonpm.operations.server import is_elsewhere
from tritonpm.operations.stubs import bereft
from tritonpm.triton.ensembles import members_of
from tritonpm.triton.served_revision import serves

if TYPE_CHECKING:
    from tritonpm.catalogue import Entry, Proved
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client


def drift(context: Context, client: Client) -> list[str]:
    """All of it, of every package, as a server shows it."""
    states = client.serving()
    entries = context.catalogue.packages()
    proved = {entry.name: context.catalogue.proved(entry.name) for entry in entries if entry.name in states}
    lacking, sentences = bereft(context, client), []
    for entry in entries:
        what = _served(client, entry, states, proved.get(entry.name), lacking)
        if what and not is_elsewhere(context, entry.server):
            sentences.append(f"{entry.name} {what}; `tritonpm sync`")
    sentences += pending(context)
    revisions = [*context.catalogue.published(), *(kept.revision for kept in proved.values() if kept)]
    owned = {model.name for revision in revisions for model in revision.models}
    for name in sorted(states - owned - {entry.name for entry in entries}):
        sentences.append(f"{name} is served, but belongs to no package here")
    return sentences


def pending(context: Context) -> list[str]:
    """What of it a server need not be asked for: what is wanted and was not proved."""
    catalogue = context.catalogue
    sentences = ((entry.name, unproved(catalogue, entry.name, entry)) for entry in catalogue.packages())
    return [f"{name}: {sentence}" for name, sentence in sentences if sentence]


def _served(client: Client, entry: Entry, states: set[str], proved: Proved | None, lacking: set[str]) -> str:
    """Where the server does not do what was proved."""
    there = entry.name in states
    if entry.wanted and not there:
        return "is recorded as loaded, but the server does not serve it"
    if there and not entry.wanted:
        return f"is served, and recorded as {entry.status}: somebody else loaded it"
    if proved and not serves(client, proved.revision):
        return f"is served in another revision than {proved.number}, which was proved"
    if lost := lacking & {entry.name, *members_of(proved.revision if proved else None)}:
        return f"is served, and does not answer as it should: a stub of {min(lost)} has ended"
    return ""
