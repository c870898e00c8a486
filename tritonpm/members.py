"""The models of a cascade on a server: cascades share them, so one goes only when no served cascade needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.data import Revision
    from tritonpm.manager import Manager
    from tritonpm.triton.client import Client


NEXT = ".next"  # after the public name, while a revision is rehearsed


def members_of(revision: Revision | None) -> tuple[str, ...]:
    """The models that a revision has beside its public one."""
    return tuple(model.name for model in revision.models[:-1]) if revision else ()


def users_of(manager: Manager, member: str) -> list[str]:
    """The packages whose current revision has this member."""
    return [revision.name for revision in manager.catalogue.holding([member]) if member in members_of(revision)]


def unload_unneeded(manager: Manager, client: Client, members: Iterable[str]) -> None:
    """Unload those of `members` that are loaded and that no cascade on the server needs. Raises ServerError."""
    served = {state.name for state in client.index() if state.state == "READY"}
    suspects = served & set(members)
    if suspects:
        needed = {
            name
            for revision in manager.catalogue.holding(suspects)
            if revision.name in served
            for name in members_of(revision)
        }
        for name in sorted(suspects - needed):
            client.unload_and_wait(name)


def foreign_users(client: Client, models: Iterable[str], ours: Iterable[str]) -> list[str]:
    """The loaded ensembles, but for `ours`, that one of `models` is a step of: to unload it would break them."""
    wanted, known = set(models), set(ours)
    found = []
    for name in sorted({state.name for state in client.index() if state.state == "READY"} - known - wanted):
        steps = client.config(name).get("ensemble_scheduling", {}).get("step", ())
        if wanted & {step.get("model_name") for step in steps}:
            found.append(name)
    return found
