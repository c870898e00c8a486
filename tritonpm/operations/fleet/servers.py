"""The use cases of a context besides roll-outs: how it stands, what is mended, what is taken away, what goes where."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, NotFoundError, UsageError
from tritonpm.fleet import journal
from tritonpm.fleet.context import Access, Contexts, FleetContext, Server, extended
from tritonpm.fleet.crew import Crew
from tritonpm.fleet.waves import Pace
from tritonpm.operations.fleet import steps as rolling_steps
from tritonpm.operations.fleet.roll_out import Rolling
from tritonpm.triton.served_revision import serves

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.operations.serving import Serving
    from tritonpm.triton.client import Client

_MOMENT = 0.3  # seconds in which requests are counted


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


class Fleet:
    """The servers of a context of a workspace."""

    def __init__(self, serving: Serving, fleet: str = "") -> None:
        self.serving, self.context = serving, serving.manager
        self.state = self.context.workspace.state
        self.name = Contexts.of(self.state).get(fleet).name

    @property
    def fleet(self) -> FleetContext:
        """The context as it is now. Raises NotFoundError."""
        return Contexts.of(self.state).get(self.name)

    def status(self) -> FleetView:
        """Every server, asked side by side."""
        revisions = {revision.name: revision for revision in self.context.catalogue.published()}
        contexts = Contexts.of(self.state)

        def look(server: Server, client: Client) -> ServerView:
            wanted = contexts.wanted_on(server)
            right = tuple(sorted(name for name in wanted if _right(client, revisions.get(name))))
            return replace(
                _unseen(server),
                state="live",
                version=client.server_version(),
                packages=right,
                behind=tuple(sorted(wanted - set(right))),
            )

        found = Crew(self.fleet).each(self.fleet.servers, look)
        rollout = journal.opened(self.state)
        unfinished = f"{rollout.package} ({rollout.phase})" if rollout else ""
        repository = self.fleet.repository or str(self.context.workspace.repository)
        servers = tuple(each.value or _unseen(each.server) for each in found)
        return FleetView(self.fleet.name, repository, servers, unfinished)

    def sync(self, pace: Pace) -> Iterator[tuple[str, str, str]]:
        """Finish what did not end, then make every server serve what it shall: (server, what was done, why not)."""
        if rollout := journal.opened(self.state):
            rolled = Rolling(self.serving, rollout.context, pace).finish(rollout)
            yield self.fleet.name, f"{'finished' if rolled else 'undid'} the roll-out of {rollout.package}", ""
        contexts = Contexts.of(self.state)

        def mend(server: Server, client: Client) -> list[str]:
            wanted = contexts.wanted_on(server)
            return rolling_steps.synchronised(self.context, client, wanted, timeout=pace.timeout)

        with changing(self.context, f"fleet sync {self.fleet.name}"):
            for each in Crew(self.fleet, load_timeout=pace.timeout).each(self.fleet.servers, mend):
                yield each.server.name, ", ".join(each.value or ()), str(each.error or "")

    def unload(self, name: str, servers: Iterable[str] = (), *, force: bool = False) -> list[tuple[str, str]]:
        """Unload a package, everywhere or from these servers: where that failed, and why; they follow with `sync`.

        Raises NotFoundError, BusyError while it is in use.
        """
        there, named = self.fleet.on(name), self.fleet.named(servers)
        chosen = tuple(server for server in there if server in named or not named)
        if not chosen:
            raise NotFoundError(f"no server of {self.fleet.name} serves {name}", do="`tritonpm fleet status`")
        left = [server.name for server in there if server not in chosen]
        crew = Crew(self.fleet)
        if not force:
            require_unleased(self.context, name)
            self._require_quiet(crew, name, chosen)

        def take(_: Server, client: Client) -> None:
            client.unload_and_wait(name)
            rolling_steps.tidy(self.context, client, name)

        with changing(self.context, f"fleet unload {name}"):
            journal.require_none(self.state)
            contexts = Contexts.of(self.state)
            contexts.put(contexts.get(self.fleet.name).holding(name, left)).keep(self.state)
            return [(each.server.name, each.error.what) for each in crew.each(chosen, take) if each.error]

    def _require_quiet(self, crew: Crew, name: str, servers: Iterable[Server]) -> None:
        """Raise BusyError where clients ask for the package at this moment."""

        def requests(_: Server, client: Client) -> int:
            if not client.ready(name):
                return 0
            first = rolling_steps.counted(client, name).successes
            time.sleep(_MOMENT)
            return rolling_steps.counted(client, name).successes - first

        busy = [each.server.name for each in crew.each(servers, requests) if each.value]
        if busy:
            raise BusyError(f"clients use {name} on {', '.join(busy)}", do="wait until they are done, or use --force")


def add(
    context: Context, name: str, servers: Iterable[Server], access: Access, repository: str | None = None
) -> FleetContext:
    """Make a context, or add servers to it; a server that is known gets other labels and memory. Raises UsageError."""
    from tritonpm.triton.client import address

    servers = list(servers)
    for server in servers:
        address(server.url)
    with changing(context, f"context add {name}"):
        contexts = Contexts.of(context.workspace.state)
        fleet = extended(contexts.contexts.get(name), name, servers, access, repository)
        if not fleet.servers:
            raise UsageError(f"{name} has no server yet", do="give --url")
        contexts.put(fleet).keep(context.workspace.state)
    return context


def use(context: Context, name: str) -> None:
    """The context that is meant where none is named. Raises NotFoundError."""
    with changing(context, f"context use {name}"):
        contexts = Contexts.of(context.workspace.state)
        replace(contexts, current=contexts.get(name).name).keep(context.workspace.state)


def remove(context: Context, name: str, servers: Iterable[str] = (), *, force: bool = False) -> None:
    """Forget a context, or some of its servers; they serve on. Raises NotFoundError, BusyError."""
    state = context.workspace.state
    with changing(context, f"context remove {name}"):
        journal.require_none(state)
        contexts = Contexts.of(state)
        fleet = contexts.get(name)
        if chosen := fleet.named(servers):
            left = tuple(server for server in fleet.servers if server not in chosen)
            contexts.put(_only(fleet, left)).keep(state)
            return
        if fleet.placed and not force:
            what = f"{name} serves {', '.join(sorted(fleet.placed))}"
            raise BusyError(what, do="`tritonpm fleet unload` them first, or use --force: its servers serve on")
        contexts.without(name).keep(state)


def _only(fleet: FleetContext, servers: tuple[Server, ...]) -> FleetContext:
    names = {server.name for server in servers}
    placed = {package: tuple(n for n in where if n in names) for package, where in fleet.placed.items()}
    return replace(fleet, servers=servers, placed={package: where for package, where in placed.items() if where})


def _unseen(server: Server) -> ServerView:
    return ServerView(server.name, server.url, "not live", memory_mb=server.memory_mb, labels=server.labels)


def _right(client: Client, revision: Revision | None) -> bool:
    return revision is not None and client.ready(revision.name) and serves(client, revision)
