"""`tritonpm fleet sync`: what did not end is finished or undone, and every server serves what it shall."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonpm.fleet import journal
from tritonpm.fleet.crew import Crew
from tritonpm.operations.audit import acting
from tritonpm.operations.context import quiet
from tritonpm.operations.fleet.contexts import contexts
from tritonpm.operations.fleet.many_servers import one_of_many
from tritonpm.operations.fleet.roll_out import finish
from tritonpm.operations.fleet.shared_repository import SharedRepository
from tritonpm.operations.fleet.status import due_revisions, is_right
from tritonpm.operations.load import as_proved
from tritonpm.operations.local_repository import changing, is_current
from tritonpm.triton.ensembles import inner, unload_unneeded

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.fleet.context import FleetContext, FleetServer
    from tritonpm.fleet.waves import Pace
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client


def sync(context: Context, fleet_name: str, pace: Pace) -> Iterator[tuple[str, str, str]]:
    """Finish what did not end, then make every server serve what it shall: (server, what was done, why not)."""
    with acting(context, "fleet sync", detail=f"fleet_name={fleet_name}" if fleet_name else ""):
        yield from _synchronised(context, fleet_name, pace)


def _synchronised(context: Context, fleet_name: str, pace: Pace) -> Iterator[tuple[str, str, str]]:
    fleet = contexts(context).get(fleet_name)
    if rollout := journal.opened(context.workspace.state):
        finished = finish(context, rollout, pace)
        yield fleet.name, f"{'finished' if finished else 'undid'} the roll-out of {rollout.package}", ""
    known = contexts(context)
    fleet = known.get(fleet.name)

    with changing(context, f"fleet sync {fleet.name}"):
        revisions = due_revisions(context)
        _hold(context, fleet, revisions)
        silent = replace(context, progress=quiet)  # it would be shown for all of them at once

        def mend(server: FleetServer, client: Client) -> list[str]:
            return _synchronise(silent, client, known.wanted_on(server), revisions, pace)

        for outcome in Crew(fleet, load_timeout=pace.timeout).do(fleet.servers, mend):
            yield outcome.server.name, ", ".join(outcome.value or ()), str(outcome.error or "")


def _hold(context: Context, fleet: FleetContext, revisions: Mapping[str, Revision]) -> None:
    """The repository holds what the servers shall serve, also where a change was killed after it had published."""
    for name in fleet.placed:
        revision = revisions.get(name)
        if revision is not None and not is_current(context, name, revision):
            SharedRepository(context, fleet, name, revision).exchange(revision)


def _synchronise(
    context: Context, client: Client, due: Collection[str], revisions: Mapping[str, Revision], pace: Pace
) -> list[str]:
    """Make a server serve what is due, and no other package of ours; what was done.

    Models that are of no package here are left alone, and so is what of ours is loaded right. Raises ServerError.
    """
    done = []
    for name in sorted(set(due) & revisions.keys()):
        revision = revisions[name]
        if not is_right(client, revision):
            one = one_of_many(context, client, as_proved(context, name), revision, None, pace)
            one.move(revision)
            done.append(f"loaded {name}")
    ours = {entry.name for entry in context.catalogue.packages()}
    for name in sorted((client.serving() & ours) - set(due)):
        client.unload_and_wait(name)
        done.append(f"unloaded {name}")
    unload_unneeded(client, inner(client))
    return done
