"""`tritonpm fleet status`: every server of a context: whether it is live, what it serves, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tritonpm.fleet import journal
from tritonpm.fleet.crew import Crew
from tritonpm.operations.fleet.contexts import contexts
from tritonpm.triton.served_revision import serves

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.fleet.context import FleetServer
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client


@dataclass(frozen=True)
class ServerView:
    """A server of a context. `behind`: packages that it shall serve, and does not, or in another revision."""

    name: str
    url: str
    state: str  # live or not live
    version: str = ""
    packages: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    memory_mb: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FleetView:
    """A context's servers; `unfinished` is a roll-out that did not end."""

    context: str
    repository: str
    servers: tuple[ServerView, ...]
    unfinished: str = ""


def status(context: Context, fleet_name: str = "") -> FleetView:
    """Every server, asked side by side. Raises NotFoundError, UsageError."""
    known, revisions = contexts(context), due_revisions(context)
    fleet = known.get(fleet_name)

    def look(server: FleetServer, client: Client) -> ServerView:
        due = known.wanted_on(server)
        right = tuple(sorted(name for name in due if is_right(client, revisions.get(name))))
        return replace(
            _unseen(server),
            state="live",
            version=client.server_version(),
            packages=right,
            behind=tuple(sorted(due - set(right))),
        )

    outcomes = Crew(fleet).do(fleet.servers, look)
    rollout = journal.opened(context.workspace.state)
    unfinished = f"{rollout.package} ({rollout.phase})" if rollout else ""
    servers = tuple(outcome.value or _unseen(outcome.server) for outcome in outcomes)
    return FleetView(fleet.name, fleet.repository or str(context.workspace.repository), servers, unfinished)


def due_revisions(context: Context) -> dict[str, Revision]:
    """What servers shall serve of each package: the proved revision; what is published where none is proved."""
    published = {revision.name: revision for revision in context.catalogue.published()}
    proved = {name: proof.revision for name in published if (proof := context.catalogue.proved(name))}
    return {**published, **proved}


def is_right(client: Client, revision: Revision | None) -> bool:
    """Whether a server serves this very revision. Raises ServerError."""
    return revision is not None and client.ready(revision.name) and serves(client, revision)


def _unseen(server: FleetServer) -> ServerView:
    return ServerView(server.name, server.url, "not live", memory_mb=server.memory_mb, labels=server.labels)
