"""One roll-out on its way: which servers have proved it, which have moved, which are lost, and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from tritonpm.core.errors import NotFoundError, ServerError, TritonpmError
from tritonpm.fleet import journal
from tritonpm.fleet.context import Contexts
from tritonpm.fleet.crew import Crew, Outcome
from tritonpm.fleet.journal import MOVING, UNDOING, Rollout
from tritonpm.fleet.waves import Pace, waves
from tritonpm.operations import views
from tritonpm.operations.fleet import steps as rolling_steps
from tritonpm.operations.fleet.shared import Shared
from tritonpm.operations.switch import shadow_of
from tritonpm.triton.ensembles import NEXT
from tritonpm.triton.served_revision import serves

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.fleet.context import FleetContext, Server
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

T = TypeVar("T")


@dataclass(frozen=True)
class RolledOut(views.Loaded):
    """A package that a fleet serves now; the servers that did not answer are left out, and follow with `sync`."""

    context: str = ""
    servers: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Run:
    """The caller of `prove`, `move`, `finished` and `undo` holds the workspace's lock."""

    def __init__(
        self, context: Context, fleet: FleetContext, servers: tuple[Server, ...], pace: Pace, rollout: Rollout
    ) -> None:
        self.context, self.fleet, self.servers, self.pace = context, fleet, servers, pace
        self.rollout, self.name, self.state = rollout, rollout.package, context.workspace.state
        self.crew = Crew(fleet, load_timeout=pace.timeout)
        self.shared = Shared(context, fleet.repository)
        self.lost: dict[str, str] = {}  # server → why
        self.proved = ""

    def note(self, **changes: Any) -> None:
        """Write down how far it is."""
        self.rollout = journal.note(self.state, replace(self.rollout, **changes))

    @property
    def revision(self) -> Revision:
        """What is rolled out."""
        if self.rollout.revision is None:
            raise NotFoundError("the roll-out has not got as far as a revision", where=self.name)
        return self.rollout.revision

    def have(self) -> tuple[str, ...]:
        """The servers that serve the package, or do not answer and shall. Raises ServerError: too many do not."""
        found = self._all(self.servers, lambda _, client: client.ready(self.name))
        lost = [server.name for server in self.fleet.on(self.name) if server.name in self.lost]
        return (*(outcome.server.name for outcome in found if outcome.value), *lost)

    def prove(self) -> None:
        """Every server that serves the package answers the new revision beside the old one. Raises ServerError."""
        revision, shadow = self.revision, self._shadow
        if self.rollout.phase == MOVING:
            return
        there = [server for server in self.servers if server.name in self.rollout.had]
        if not there or self._is_current(revision):
            return
        with self.context.catalogue.intent("prove", self._names):
            self.shared.rehearse(shadow)
            for servers in self._waves(there, "Proving"):
                self._all(servers, lambda _, client: self._prove(client, shadow))

    def move(self) -> None:
        """Exchange what the servers read, and have them load it, wave by wave. Raises ServerError."""
        self.note(phase=MOVING)
        self.shared.exchange(self.name, self.revision)
        moved: list[Server] = []
        for servers in self._waves(self.servers, "Moving"):
            for outcome in self._all(servers, lambda _, client: self._move(client)):
                self.proved = outcome.value or self.proved
            moved += servers
            self._gate(moved)

    def finished(self) -> RolledOut:
        """The fleet is new: remember it, and take away what nothing needs any more."""
        names = self.rollout.servers
        contexts = Contexts.of(self.state)
        contexts.put(contexts.get(self.fleet.name).holding(self.name, names)).keep(self.state)
        record = self.context.catalogue.get(self.name)
        if record.status in ("imported", "failed"):
            self.context.catalogue.set_status(self.name, "ready")
        self.crew.each(self._left, lambda _, client: rolling_steps.tidy(self.context, client, self.name))
        with self.context.catalogue.intent("tidy", (self._shadow.name,)):
            self.shared.settle(self._shadow, ())
        tidy(self.context, self.name)
        journal.close(self.state)
        return RolledOut(
            self.name, record.revision or 0, self.proved, self.fleet.name,
            tuple(server.name for server in self._left), tuple(self.lost),
        )  # fmt: skip

    def undone(self, error: TritonpmError) -> ServerError:
        """Go back, and tell what the fleet serves then."""
        behind = self.undo()
        had = self.rollout.had and self.rollout.revision_before
        what = f"every server{' that answers' if behind else ''} serves {'what it served' if had else 'as'} before"
        do = ""
        if behind:
            what += f" ({'; '.join(behind)})"
            do = f"`tritonpm fleet sync --context {self.fleet.name}` once they answer"
        return ServerError(f"{self.name} was not rolled out: {_said(error)}; {what}", do=do)

    def undo(self) -> list[str]:
        """Make the catalogue, the repository and the servers what they were; what could not be, one sentence each."""
        self.note(phase=UNDOING)
        before = self.rollout.revision_before
        if before:
            self.shared.exchange(self.name, before)
        self._take_back()
        behind = self.crew.each(self.servers, self._back)
        if self.rollout.revision:
            with self.context.catalogue.intent("undo", self._names):
                self.shared.settle(self._shadow, self._names)
        journal.close(self.state)
        return [_why(outcome) for outcome in behind if outcome.error]

    # On one server

    def _prove(self, client: Client, shadow: Revision) -> None:
        if not (client.ready(self.name) and serves(client, self.revision)):
            rolling_steps.prove(self.context, client, self.name, shadow, timeout=self.pace.timeout)

    def _move(self, client: Client) -> str:
        return rolling_steps.move(self.context, client, self.revision, timeout=self.pace.timeout)

    def _back(self, server: Server, client: Client) -> None:
        before = self.rollout.revision_before if server.name in self.rollout.had else None
        if before is None:
            client.unload_and_wait(self.name)
        else:
            rolling_steps.bring(client, before, timeout=self.pace.timeout)
        rolling_steps.tidy(self.context, client, self.name, self._names if self.rollout.revision else ())

    # On many

    def _gate(self, moved: list[Server]) -> None:
        """All that have moved still serve it, and fail no more requests than they may. Raises ServerError."""
        before = self._counted(moved)
        if not self.pace.soak:
            return
        time.sleep(self.pace.soak)
        for name, now in self._counted(moved).items():
            then = before.get(name, now)
            failed, answered = now.failures - then.failures, now.successes - then.successes
            if failed > self.pace.failing * (failed + answered):
                raise ServerError(f"it failed {failed} of {failed + answered} requests", where=name)

    def _counted(self, servers: list[Server]) -> dict[str, rolling_steps.Counted]:
        def count(_: Server, client: Client) -> rolling_steps.Counted:
            if not client.ready(self.name) or not serves(client, self.revision):
                raise ServerError("it does not serve the new revision any more")
            return rolling_steps.counted(client, self.name)

        return {each.server.name: each.value for each in self._all(servers, count) if each.value}

    def _all(self, servers: Iterable[Server], work: Callable[[Server, Client], T]) -> list[Outcome[T]]:
        """Work on those that are not lost. Raises ServerError where one refuses, or one too many is lost."""
        outcomes = self.crew.each([server for server in servers if server.name not in self.lost], work)
        refused = next((each for each in outcomes if each.error and not each.lost), None)
        self.lost.update({each.server.name: _why(each) for each in outcomes if each.lost})
        if refused:
            raise ServerError(_why(refused))
        if len(self.lost) > self.pace.max_unavailable:
            raise ServerError("; ".join(self.lost.values()))
        return [each for each in outcomes if not each.lost]

    def _waves(self, servers: Iterable[Server], what: str) -> Iterable[tuple[Server, ...]]:
        planned = waves(list(servers), self.pace.wave)
        for number, wave in enumerate(planned, 1):
            names = ", ".join(server.name for server in wave)
            self.context.warn(f"{what} {self.name}, wave {number} of {len(planned)}: {names}")
            yield wave

    @property
    def _left(self) -> list[Server]:
        return [server for server in self.servers if server.name not in self.lost]

    # In the workspace

    @property
    def _shadow(self) -> Revision:
        """The revision under a name that says its content: it may be loaded anywhere at any time."""
        return shadow_of(self.revision, f"{NEXT}-{self.revision.digest[:12]}")

    @property
    def _names(self) -> tuple[str, ...]:
        return (*(model.name for model in self.revision.models), self._shadow.name)

    def _is_current(self, revision: Revision) -> bool:
        current = self.context.catalogue.revision(self.name)
        return current is not None and current.digest == revision.digest

    def _take_back(self) -> None:
        """What we changed becomes what it was; what another tritonpm has changed since then stays."""
        before, made = self.rollout.before, self.rollout.made
        with suppress(NotFoundError):
            now = self.context.catalogue.get(self.name)
            package = before.package if made is None or now.package == made.package else now.package
            settings = before.settings if made is None or now.settings == made.settings else now.settings
            summary = views.summary(package, settings)
            self.context.catalogue.replace(self.name, package, settings, summary)


def _said(error: TritonpmError) -> str:
    return f"{error.where}: {error.what}" if error.where else error.what


def _why(outcome: Outcome[Any]) -> str:
    """What happened on a server, which is named once."""
    error = outcome.error
    what = error.what if error else ""
    return f"{outcome.server.name} {'does not answer' if outcome.lost else 'refuses'} ({what})"
