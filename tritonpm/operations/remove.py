"""`tritonpm remove`: a package is forgotten, with what was published of it and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.errors import StorageError
from tritonpm.operations.audit import audited
from tritonpm.operations.local_repository import (
    changing,
    collect,
    models,
    require_idle,
    require_no_canary,
    settle,
    unowned,
)
from tritonpm.operations.members import require_not_joined
from tritonpm.operations.unload import require_unloaded
from tritonpm.operations.usage import require_unused

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@audited("remove")
def remove(context: Context, name: str) -> None:
    """Forget a package, what was published of it, and its files, also where its record cannot be read.

    Raises NotFoundError; BusyError while it is loaded, or an ensemble joins it.
    """
    with changing(context, f"remove {name}"):
        require_idle(context, name)
        require_no_canary(context, name)
        require_unused(context, name)
        require_not_joined(context, name)
        require_unloaded(context, name)
        folders = _folders(context, name)
        with context.catalogue.intent("remove", folders):
            context.catalogue.remove(name)
            settle(context, folders)
        collect(context)


def _folders(context: Context, name: str) -> tuple[str, ...]:
    """What is published of it; where that cannot be read, what is of no other, as far as the others can be read."""
    try:
        return models(context, name)
    except StorageError:
        others = any(of.partition(",")[0] != name for of, _ in context.catalogue.unreadable())
        return tuple(folder for folder in unowned(context) if folder == name or not others)
