"""The servers of a context, as who serves what is delivered: wave by wave, with those that do not answer left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from tritonpm.core.errors import ServerError
from tritonpm.fleet.crew import Crew, Outcome
from tritonpm.fleet.waves import Pace, waves
from tritonpm.operations.context import quiet
from tritonpm.operations.load import OneServer
from tritonpm.operations.unload import unload_old
from tritonpm.triton.served_revision import STALE, serves

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Revision
    from tritonpm.fleet.context import FleetContext, FleetServer
    from tritonpm.fleet.journal import RolloutJournal
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

T = TypeVar("T")


@dataclass(frozen=True)
class Answered:
    """How many requests a server's model has answered, and failed, so far."""

    successes: int
    failures: int


class ManyServers:
    """Servers that a roll-out concerns; `journal` tells which of them served the package before, and in what.

    `lost` are those that do not answer, and why; `behind` are sentences of those that could not be taken back.
    """

    def __init__(
        self,
        context: Context,
        fleet: FleetContext,
        servers: tuple[FleetServer, ...],
        pace: Pace,
        journal: RolloutJournal,
    ) -> None:
        self.context = replace(context, progress=quiet)  # which would be shown for all of them at once
        self.fleet, self.servers, self.pace, self.journal = fleet, servers, pace, journal
        self.name = journal.rollout.package
        self.crew = Crew(fleet, load_timeout=pace.timeout)
        self.lost: dict[str, str] = {}
        self.behind: list[str] = []

    def having(self) -> tuple[str, ...]:
        """The servers that serve the package, or do not answer and shall. Raises ServerError: too many do not."""
        outcomes = self._all(self.servers, lambda _, client: client.ready(self.name))
        lost = [server.name for server in self.fleet.on(self.name) if server.name in self.lost]
        return (*(outcome.server.name for outcome in outcomes if outcome.value), *lost)

    def prove(self, shadow: Revision) -> None:
        """As `Servers.prove`, on those that serve the package; one that serves this very revision has proved it."""

        def prove_on(server: FleetServer, client: Client) -> None:
            one = self._one(server, client)
            if not (client.ready(self.name) and serves(client, one.revision)):
                one.prove(shadow)

        there = [server for server in self.servers if server.name in self.journal.rollout.had]
        for wave in self._waves(there, "Proving"):
            self._all(wave, prove_on)

    def move(self, revision: Revision) -> str:
        """As `Servers.move`, wave by wave; after each, all that have moved still do well."""
        proof = ""
        moved: list[FleetServer] = []
        for wave in self._waves(self.servers, "Moving"):
            for outcome in self._all(wave, lambda server, client: self._one(server, client).move(revision)):
                proof = outcome.value or proof
            moved += wave
            self._gate(moved, revision)
        return proof

    def take_back(self) -> None:
        """As `Servers.take_back`, on all that answer. Raises ServerError where some do not; they follow with `sync`."""

        def take_back_on(server: FleetServer, client: Client) -> None:
            one = self._one(server, client)
            one.moved = True  # who was killed does not tell which have; one that has not is left as it is by that
            one.take_back()

        self.behind = [_why(outcome) for outcome in self.crew.do(self.servers, take_back_on) if outcome.error]
        if self.behind:
            raise ServerError("; ".join(self.behind))

    def tidy(self) -> None:
        """Unload what earlier revisions left, as far as the servers answer."""
        self.crew.do(self.left, lambda _, client: unload_old(self.context, client, self.name))

    @property
    def left(self) -> list[FleetServer]:
        """Those that are not lost."""
        return [server for server in self.servers if server.name not in self.lost]

    def _one(self, server: FleetServer, client: Client) -> OneServer:
        rollout = self.journal.rollout
        if rollout.revision is None:
            raise ServerError("the roll-out has not got as far as a revision", where=self.name)
        before = rollout.revision_before if server.name in rollout.had else None
        record = self.context.catalogue.get(self.name)
        return one_of_many(self.context, client, record, rollout.revision, before, self.pace)

    def _gate(self, moved: list[FleetServer], revision: Revision) -> None:
        """All that have moved still serve it, and fail no more requests than they may. Raises ServerError."""
        before = self._counted(moved, revision)
        if not self.pace.soak:
            return
        time.sleep(self.pace.soak)
        for name, now in self._counted(moved, revision).items():
            then = before.get(name, now)
            failed, answered = now.failures - then.failures, now.successes - then.successes
            if failed > self.pace.failing * (failed + answered):
                raise ServerError(f"it failed {failed} of {failed + answered} requests", where=name)

    def _counted(self, servers: list[FleetServer], revision: Revision) -> dict[str, Answered]:
        def count(_: FleetServer, client: Client) -> Answered:
            if not client.ready(self.name) or not serves(client, revision):
                raise ServerError("it no longer serves the new revision")
            return counted(client, self.name)

        return {outcome.server.name: outcome.value for outcome in self._all(servers, count) if outcome.value}

    def _all(self, servers: Iterable[FleetServer], work: Callable[[FleetServer, Client], T]) -> list[Outcome[T]]:
        """Work on those that are not lost. Raises ServerError where one refuses, or one too many is lost."""
        outcomes = self.crew.do([server for server in servers if server.name not in self.lost], work)
        refused = next((outcome for outcome in outcomes if outcome.error and not outcome.lost), None)
        self.lost.update({outcome.server.name: _why(outcome) for outcome in outcomes if outcome.lost})
        if refused:
            raise ServerError(_why(refused))
        if len(self.lost) > self.pace.max_unavailable:
            raise ServerError("; ".join(self.lost.values()))
        return [outcome for outcome in outcomes if not outcome.lost]

    def _waves(self, servers: Iterable[FleetServer], what: str) -> Iterable[tuple[FleetServer, ...]]:
        planned = waves(list(servers), self.pace.wave)
        for number, wave in enumerate(planned, 1):
            names = ", ".join(server.name for server in wave)
            self.context.warn(f"{what} {self.name}, wave {number} of {len(planned)}: {names}")
            yield wave


def one_of_many(
    context: Context, client: Client, record: Record, revision: Revision, before: Revision | None, pace: Pace
) -> OneServer:
    """One server of a fleet: its memory is another machine's, and what it reads may lag behind; proved as it was."""
    return OneServer(
        context, client, record, revision, before,
        probe=record.probed, timeout=pace.timeout, patience=STALE, reads="the context's repository", here=False,
    )  # fmt: skip


def counted(client: Client, name: str) -> Answered:
    """How many requests a model has answered and failed. Raises ServerError, NotFoundError."""
    versions = client.statistics(name)
    return Answered(sum(one.success.count for one in versions), sum(one.fail.count for one in versions))


def _why(outcome: Outcome[Any]) -> str:
    """What happened on a server, which is named once."""
    error = outcome.error
    what = error.what if error else ""
    return f"{outcome.server.name} {'does not answer' if outcome.lost else 'refuses'} ({what})"
