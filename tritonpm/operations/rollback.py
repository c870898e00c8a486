"""`tritonpm rollback`: back along what served, or to a revision that is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, UsageError
from tritonpm.operations.audit import audited
from tritonpm.operations.local_repository import changing
from tritonpm.operations.switch import put_back, switch

if TYPE_CHECKING:
    from tritonpm.catalogue import Source
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.operations.load import Loaded


@audited("rollback", "number")
def rollback(context: Context, name: str, number: int | None = None) -> Loaded | None:
    """Serve what served before, or the revision of that number, live; None where the package is not loaded.

    Without a number the first call gives up what was changed since the proved revision and never served; each other one
    goes one step further back, loaded or not: what served before is proved.
    Raises NotFoundError, UsageError, ServerError.
    """
    target, source, revision = revision_to(context, name, number)
    gives_up = number is None and target == next(iter(context.catalogue.served(name)), None)
    loaded = switch(context, name, lambda: put_back(context, name, source), revision, back=number is None)
    if loaded is None and number is None:
        with changing(context, f"roll {name} back"):
            context.catalogue.go_back(name, target, probed=None, loaded=False)
    if gives_up:
        context.warn(f"What was changed since revision {target}, which was proved last, is discarded.")
    return loaded


def revision_to(context: Context, name: str, number: int | None) -> tuple[int, Source, Revision | None]:
    """Where a roll-back goes: along the way back, or to the revision of that number; and what made it.

    None is a revision that the package had under another name: it is made anew under the one of now, since somebody
    else's model may have that name. Raises NotFoundError, UsageError.
    """
    context.catalogue.require(name)
    target = context.catalogue.way_back(name) if number is None else number
    if target is None:
        what = f"{name} served in no earlier revision that is kept"
        raise NotFoundError(what, do=f"`tritonpm history {name}` lists them")
    kept = context.catalogue.kept(name, target)
    if kept.source is None:
        raise UsageError(f"revision {kept.number} does not record what it was made of", do="choose a later one")
    return kept.number, kept.source, kept.revision if kept.revision.name == name else None
