"""`tritonpm fleet unload`: a package leaves the servers of a context, or some of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, NotFoundError
from tritonpm.fleet import journal
from tritonpm.fleet.crew import Crew
from tritonpm.operations.audit import audited
from tritonpm.operations.fleet.contexts import contexts
from tritonpm.operations.fleet.many_servers import counted
from tritonpm.operations.local_repository import changing
from tritonpm.operations.unload import unload_old
from tritonpm.operations.usage import require_unleased

if TYPE_CHECKING:
    from tritonpm.fleet.context import FleetServer
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

_MOMENT = 0.3  # seconds in which requests are counted


@audited("fleet unload", "fleet_name")
def unload(
    context: Context, fleet_name: str, name: str, servers: Iterable[str] = (), *, force: bool = False
) -> list[tuple[str, str]]:
    """Unload a package, everywhere or from these servers: where that failed, and why; they follow with `sync`.

    Raises NotFoundError, BusyError while it is in use.
    """
    fleet = contexts(context).get(fleet_name)
    there, named = fleet.on(name), fleet.named(servers)
    chosen = tuple(server for server in there if server in named or not named)
    if not chosen:
        raise NotFoundError(f"no server of {fleet.name} serves {name}", do="`tritonpm fleet status`")
    left = [server.name for server in there if server not in chosen]
    crew = Crew(fleet)
    if not force:
        require_unleased(context, name)
        _require_quiet(crew, name, chosen)

    def take(_: FleetServer, client: Client) -> None:
        client.unload_and_wait(name)
        unload_old(context, client, name)

    with changing(context, f"fleet unload {name}"):
        journal.require_none(context.workspace.state)
        known = contexts(context)
        known.put(known.get(fleet.name).holding(name, left)).keep(context.workspace.state)
        return [(outcome.server.name, outcome.error.what) for outcome in crew.do(chosen, take) if outcome.error]


def _require_quiet(crew: Crew, name: str, servers: Iterable[FleetServer]) -> None:
    """Raise BusyError where clients ask for the package at this moment."""

    def requests(_: FleetServer, client: Client) -> int:
        if not client.ready(name):
            return 0
        first = counted(client, name).successes
        time.sleep(_MOMENT)
        return counted(client, name).successes - first

    busy = [outcome.server.name for outcome in crew.do(servers, requests) if outcome.value]
    if busy:
        raise BusyError(f"clients use {name} on {', '.join(busy)}", do="wait until they are done, or use --force")
