"""`tritonpm reload`: what serves is written and loaded anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError
from tritonpm.operations.audit import audited
from tritonpm.operations.load import TIMEOUT, Loaded, load_proved
from tritonpm.operations.local_repository import changing, models, settle
from tritonpm.operations.server import await_return, has_server, is_loaded

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@audited("reload")
def reload(context: Context, name: str, *, timeout: float = TIMEOUT) -> Loaded:
    """Write the files of what serves anew, and have the server load them beside what serves. Raises ServerError."""
    await_return(context)
    if not is_loaded(context, name) and not (has_server(context) and context.catalogue.get(name).wanted):
        raise ServerError(f"{name} is not loaded", do=f"`tritonpm load {name}`")
    with changing(context, f"reload {name}"):
        folders = models(context, name)
        with context.catalogue.intent("reload", folders):
            settle(context, folders, anew=True)
    return load_proved(context, name, timeout=timeout)
