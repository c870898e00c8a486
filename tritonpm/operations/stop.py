"""`tritonpm stop`: ends the workspace's own server; what it had loaded comes back with the next one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tritonpm.operations.audit import audited
from tritonpm.triton import embedded

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_SUPERVISOR = 30.0  # seconds that who supervises a server may take to end after it


@audited("stop")
def stop(context: Context, timeout: float) -> bool:
    """End the server; whether there was one. What it had loaded comes back with the next one."""
    state = context.workspace.server
    supervisor = embedded.supervisor(state)
    embedded.tell_to_stop(state)
    server = embedded.running(state)
    if server is None:
        embedded.sweep(state)
    else:
        with context.progress("Stopping Triton"):
            embedded.stop(server, state, timeout=timeout)
    if supervisor and supervisor[0] != os.getpid() and not embedded.await_end(supervisor, _SUPERVISOR):
        context.warn(f"Warning: what supervised it (pid {supervisor[0]}) is still ending; it starts nothing more.")
    unload_recorded(context)
    return server is not None


def unload_recorded(context: Context) -> None:
    """Record that nothing is loaded on the workspace's own server, which is gone; what is wanted stays wanted."""
    for entry in context.catalogue.packages():
        if entry.status == "loaded" and not entry.server:
            context.catalogue.set_status(entry.name, "ready")
