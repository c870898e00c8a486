"""Who uses which package, by what projects say and by what the server counts."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, NotFoundError, ServerError
from tritonpm.fleet.context import fleets_with
from tritonpm.operations.server import connect, has_server

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

WAIT = "wait until they are done, or see `tritonpm projects`"
_MOMENT = 0.3  # seconds in which requests are counted


def users(context: Context, name: str) -> list[str]:
    """Who uses a package: the projects that said so, and clients that did not, known by what they send.

    Requests are counted over a moment, so that a clock that was set is no client; and not over the first one, since
    Triton counts an answer, such as that to a probe of ours, a moment after it was given.
    """
    known = [*context.catalogue.leases.users().get(name, ()), *fleets_with(context.workspace.state, name)]
    if not has_server(context):
        return known
    with suppress(ServerError, NotFoundError), connect(context) as client:
        if client.ready(name):
            counts = []
            for _ in range(2):
                time.sleep(_MOMENT)
                counts.append(sum(version.inferences for version in client.statistics(name)))
            if (more := counts[1] - counts[0]) > 0:
                known.append(_unregistered(more))
    return known


def users_of_all(context: Context) -> dict[str, list[str]]:
    """Who uses each package that somebody uses, all asked at once. Raises ServerError."""
    leased, counts = context.catalogue.leases.users(), []
    if has_server(context):
        with connect(context) as client:
            for moment in (_MOMENT, 0.0):
                counted: dict[str, int] = {}
                for version in client.statistics():
                    counted[version.name] = counted.get(version.name, 0) + version.inferences
                counts.append(counted)
                time.sleep(moment)
    known = {}
    for entry in context.catalogue.packages():
        names = [*leased.get(entry.name, ()), *fleets_with(context.workspace.state, entry.name)]
        if counts and (more := counts[1].get(entry.name, 0) - counts[0].get(entry.name, 0)) > 0:
            names.append(_unregistered(more))
        if names:
            known[entry.name] = names
    return known


def _unregistered(inferences: int) -> str:
    return f"clients that are not registered ({inferences / _MOMENT:.0f} inferences/s)"


def require_unused(context: Context, name: str, do: str = WAIT) -> None:
    """Raise BusyError naming the users."""
    if names := users(context, name):
        raise BusyError(f"{name} is in use by {', '.join(names)}", do=do)


def require_unleased(context: Context, name: str) -> None:
    """Raise BusyError where a project uses the package."""
    if names := context.catalogue.leases.users().get(name):
        raise BusyError(f"{name} is in use by {', '.join(names)}", do=WAIT)
