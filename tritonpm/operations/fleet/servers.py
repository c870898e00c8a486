"""The use cases of a fleet besides roll-outs: how it stands, what is mended, what is taken away, what goes where."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, NotFoundError, UsageError
from tritonpm.fleet import journal
from tritonpm.fleet.context import Access, Context, Contexts, Server, extended
from tritonpm.fleet.crew import Crew
from tritonpm.fleet.waves import Pace
from tritonpm.operations.fleet import steps as rolling_steps
from tritonpm.operations.fleet.roll_out import Rolling
from tritonpm.operations.upkeep import serves

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.operations.manager import Manager
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

    def __init__(self, serving: Serving, context: str = "") -> None:
        self.serving, self.manager = serving, serving.manager
        self.state = self.manager.workspace.state
        self.name = Contexts.of(self.state).get(context).name

    @property
    def context(self) -> Context:
        """The context as it is now. Raises NotFoundError."""
        return Contexts.of(self.state).get(self.name)

    def status(self) -> FleetView:
        """Every server, asked side by side."""
        revisions = {revision.name: revision for revision in self.manager.catalogue.published()}
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

        found = Crew(self.context).each(self.context.servers, look)
        rollout = journal.opened(self.state)
        unfinished = f"{rollout.package} ({rollout.phase})" if rollout else ""
        repository = self.context.repository or str(self.manager.workspace.repository)
        servers = tuple(each.value or _unseen(each.server) for each in found)
        return FleetView(self.context.name, repository, servers, unfinished)

    def sync(self, pace: Pace) -> Iterator[tuple[str, str, str]]:
        """Finish what did not end, then make every server serve what it shall: (server, what was done, why not)."""
        if rollout := journal.opened(self.state):
            rolled = Rolling(self.serving, rollout.context, pace).finish(rollout)
            yield self.context.name, f"{'finished' if rolled else 'undid'} the roll-out of {rollout.package}", ""
        contexts = Contexts.of(self.state)

        def mend(server: Server, client: Client) -> list[str]:
            wanted = contexts.wanted_on(server)
            return rolling_steps.synchronised(self.manager, client, wanted, timeout=pace.timeout)

        with self.manager.changing(f"fleet sync {self.context.name}"):
            for each in Crew(self.context, load_timeout=pace.timeout).each(self.context.servers, mend):
                yield each.server.name, ", ".join(each.value or ()), str(each.error or "")

    def unload(self, name: str, servers: Iterable[str] = (), *, force: bool = False) -> list[tuple[str, str]]:
        """Unload a package, everywhere or from these servers: where that failed, and why; they follow with `sync`.

        Raises NotFoundError, BusyError while it is in use.
        """
        there, named = self.context.on(name), self.context.named(servers)
        chosen = tuple(server for server in there if server in named or not named)
        if not chosen:
            raise NotFoundError(f"no server of {self.context.name} serves {name}", do="`tritonpm fleet status`")
        left = [server.name for server in there if server not in chosen]
        crew = Crew(self.context)
        if not force:
            self.manager.require_unleased(name)
            self._require_quiet(crew, name, chosen)

        def take(_: Server, client: Client) -> None:
            client.unload_and_wait(name)
            rolling_steps.tidy(self.manager, client, name)

        with self.manager.changing(f"fleet unload {name}"):
            journal.require_none(self.state)
            contexts = Contexts.of(self.state)
            contexts.put(contexts.get(self.context.name).holding(name, left)).keep(self.state)
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
    manager: Manager, name: str, servers: Iterable[Server], access: Access, repository: str | None = None
) -> Context:
    """Make a context, or add servers to it; a server that is known gets other labels and memory. Raises UsageError."""
    from tritonpm.triton.client import address

    servers = list(servers)
    for server in servers:
        address(server.url)
    with manager.changing(f"context add {name}"):
        contexts = Contexts.of(manager.workspace.state)
        context = extended(contexts.contexts.get(name), name, servers, access, repository)
        if not context.servers:
            raise UsageError(f"{name} has no server yet", do="give --url")
        contexts.put(context).keep(manager.workspace.state)
    return context


def use(manager: Manager, name: str) -> None:
    """The context that is meant where none is named. Raises NotFoundError."""
    with manager.changing(f"context use {name}"):
        contexts = Contexts.of(manager.workspace.state)
        replace(contexts, current=contexts.get(name).name).keep(manager.workspace.state)


def remove(manager: Manager, name: str, servers: Iterable[str] = (), *, force: bool = False) -> None:
    """Forget a context, or some of its servers; they serve on. Raises NotFoundError, BusyError."""
    state = manager.workspace.state
    with manager.changing(f"context remove {name}"):
        journal.require_none(state)
        contexts = Contexts.of(state)
        context = contexts.get(name)
        if chosen := context.named(servers):
            left = tuple(server for server in context.servers if server not in chosen)
            contexts.put(_only(context, left)).keep(state)
            return
        if context.placed and not force:
            what = f"{name} serves {', '.join(sorted(context.placed))}"
            raise BusyError(what, do="`tritonpm fleet unload` them first, or use --force: its servers serve on")
        contexts.without(name).keep(state)


def _only(context: Context, servers: tuple[Server, ...]) -> Context:
    names = {server.name for server in servers}
    placed = {package: tuple(n for n in where if n in names) for package, where in context.placed.items()}
    return replace(context, servers=servers, placed={package: where for package, where in placed.items() if where})


def _unseen(server: Server) -> ServerView:
    return ServerView(server.name, server.url, "not live", memory_mb=server.memory_mb, labels=server.labels)


def _right(client: Client, revision: Revision | None) -> bool:
    return revision is not None and client.ready(revision.name) and serves(client, revision)
