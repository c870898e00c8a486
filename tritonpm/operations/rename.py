"""`tritonpm rename`: a package gets another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.operations.audit import audited
from tritonpm.operations.local_repository import changing, models, require_idle, require_no_canary, settle
from tritonpm.operations.members import require_not_joined
from tritonpm.operations.unload import require_unloaded
from tritonpm.operations.usage import require_unused

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@audited("rename", "new_name")
def rename(context: Context, name: str, new_name: str) -> None:
    """Give a package another name. Raises NameTakenError, PackageError; BusyError while it is in use."""
    from tritonpm.package.paths import require_name

    require_name(new_name)
    with changing(context, f"rename {name}"):
        require_idle(context, name)
        require_no_canary(context, name)
        require_unused(context, name)
        require_not_joined(context, name)
        require_unloaded(context, name)
        context.catalogue.require_free(new_name)
        folders = models(context, name)
        with context.catalogue.intent("rename", folders):
            context.catalogue.rename(name, new_name)
            settle(context, folders)
