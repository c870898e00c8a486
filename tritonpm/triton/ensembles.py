"""The models of a cascade on a server: cascades share them, so one goes only when no served cascade needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tritonpm.core.types import REVISION
from tritonpm.triton.answers import steps

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.triton.client import Client


NEXT = ".next"  # after the public name, while a revision is rehearsed


def members_of(revision: Revision | None) -> tuple[str, ...]:
    """The models that a revision has beside its public one."""
    return tuple(model.name for model in revision.models[:-1]) if revision else ()


def inner(client: Client) -> list[str]:
    """What is loaded of ours and is no package itself, members and rehearsals: public names have no dot."""
    return [n for n in client.serving() if "." in n and REVISION in client.config(n).get("parameters", {})]


def unneeded(client: Client, models: Iterable[str]) -> list[str]:
    """Those of `models` that are loaded and that no other ensemble on the server is made of."""
    served = client.serving()
    suspects = served & set(models)
    needed = {step for name in served - suspects for step in steps(client.config(name))} if suspects else set()
    return sorted(suspects - needed)


def unload_unneeded(client: Client, members: Iterable[str]) -> None:
    """Unload those of `members` that are loaded and that no other ensemble on the server needs. Raises ServerError."""
    for name in unneeded(client, members):
        client.unload_and_wait(name)


def joined_by(client: Client, model: str) -> list[str]:
    """The loaded ensembles that a model is a step of: to unload it would break them."""
    return [name for name in sorted(client.serving() - {model}) if model in steps(client.config(name))]
