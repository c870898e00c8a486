"""`tritonpm rollback`: back along what served, or to a revision that is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, UsageError
from tritonpm.operations.switch import put_back, switch

if TYPE_CHECKING:
    from tritonpm.catalogue import Published
    from tritonpm.operations.context import Context
    from tritonpm.operations.load import Loaded


def rollback(context: Context, name: str, number: int | None = None) -> Loaded | None:
    """Serve what served before, or the revision of that number, live; None where the package is not loaded.

    Without a number each call goes one step further back. Raises NotFoundError, UsageError, ServerError.
    """
    kept = revision_to(context, name, number)
    source = kept.source
    if source is None:
        raise UsageError(f"revision {kept.number} does not tell what it was made of", do="choose a later one")
    return switch(context, name, lambda: put_back(context, name, source), kept.revision, back=number is None)


def revision_to(context: Context, name: str, number: int | None) -> Published:
    """Where a roll-back goes: what served before the proved revision, or the one of that number.

    Raises NotFoundError.
    """
    history = context.catalogue.history(name)
    target = context.catalogue.before(name) if number is None else number
    for kept in history:
        if kept.number == target:
            return kept
    what = f"no revision {number}" if number else "served in no earlier revision that is kept"
    raise NotFoundError(
        f"{name} has {what}" if number else f"{name} {what}", do=f"`tritonpm history {name}` lists them"
    )
