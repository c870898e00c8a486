"""`tritonpm context`: groups of servers that read one repository: made, chosen, forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, UsageError
from tritonpm.fleet import journal
from tritonpm.fleet.context import Contexts, FleetContext, FleetServer, ServerAccess, extended
from tritonpm.operations.audit import audited
from tritonpm.operations.local_repository import changing

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def contexts(context: Context) -> Contexts:
    """All contexts of the workspace. Raises StorageError."""
    return Contexts.of(context.workspace.state)


@audited("context add", "name", package="")
def add(
    context: Context, name: str, servers: Iterable[FleetServer], access: ServerAccess, repository: str | None = None
) -> FleetContext:
    """Make a context, or add servers to it; a server that is known gets other labels and memory. Raises UsageError."""
    from tritonpm.triton.connection import address

    servers = list(servers)
    for server in servers:
        address(server.url)
    with changing(context, f"context add {name}"):
        known = contexts(context)
        fleet = extended(known.contexts.get(name), name, servers, access, repository)
        if not fleet.servers:
            raise UsageError(f"{name} has no server yet", do="give --url")
        known.put(fleet).keep(context.workspace.state)
    return fleet


def use(context: Context, name: str) -> None:
    """The context that is meant where none is named. Raises NotFoundError."""
    with changing(context, f"context use {name}"):
        known = contexts(context)
        replace(known, current=known.get(name).name).keep(context.workspace.state)


@audited("context remove", "name", package="")
def remove(context: Context, name: str, servers: Iterable[str] = (), *, force: bool = False) -> None:
    """Forget a context, or some of its servers; they serve on. Raises NotFoundError, BusyError."""
    state = context.workspace.state
    with changing(context, f"context remove {name}"):
        journal.require_none(state)
        known = contexts(context)
        fleet = known.get(name)
        if chosen := fleet.named(servers):
            left = tuple(server for server in fleet.servers if server not in chosen)
            known.put(_only(fleet, left)).keep(state)
            return
        if fleet.placed and not force:
            what = f"{name} serves {', '.join(sorted(fleet.placed))}"
            raise BusyError(what, do="`tritonpm fleet unload` them first, or use --force: its servers keep serving")
        known.without(name).keep(state)


def _only(fleet: FleetContext, servers: tuple[FleetServer, ...]) -> FleetContext:
    names = {server.name for server in servers}
    placed = {package: tuple(name for name in where if name in names) for package, where in fleet.placed.items()}
    return replace(fleet, servers=servers, placed={package: where for package, where in placed.items() if where})
