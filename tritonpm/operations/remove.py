"""`tritonpm remove`: a package is forgotten, with what was published of it and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.errors import StorageError
from tritonpm.operations.local_repository import (
    changing,
    collect,
    models,
    named_for,
    require_idle,
    require_no_canary,
    settle,
)
from tritonpm.operations.unload import require_unloaded
from tritonpm.operations.usage import require_unused

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def remove(context: Context, name: str) -> None:
    """Forget a package, what was published of it, and its files, also where its record cannot be read.

    Raises NotFoundError; BusyError while it is loaded.
    """
    with changing(context, f"remove {name}"):
        require_idle(context, name)
        require_no_canary(context, name)
        require_unused(context, name)
        require_unloaded(context, name)
        folders = _folders(context, name)
        with context.catalogue.intent("remove", folders):
            context.catalogue.remove(name)
            settle(context, folders)
        collect(context)


def _folders(context: Context, name: str) -> tuple[str, ...]:
    """What is published of it; where that cannot be read, what is named for it."""
    try:
        return models(context, name)
    except StorageError:
        return tuple(folder.name for folder in named_for(context, name))
