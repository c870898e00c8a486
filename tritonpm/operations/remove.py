"""`tritonpm remove`: a package is forgotten, with what was published of it and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.operations.local_repository import changing, collect, models, require_idle, require_no_canary, settle
from tritonpm.operations.unload import require_unloaded
from tritonpm.operations.usage import require_unused

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def remove(context: Context, name: str) -> None:
    """Forget a package, what was published of it, and its files. Raises NotFoundError; BusyError while it is loaded."""
    with changing(context, f"remove {name}"):
        require_idle(context, name)
        require_no_canary(context, name)
        require_unused(context, name)
        require_unloaded(context, name)
        folders = models(context, name)
        with context.catalogue.intent("remove", folders):
            context.catalogue.remove(name)
            settle(context, folders)
        collect(context)
