"""Changes to a fleet: proved on every server first, then brought in wave by wave, else undone everywhere.

All servers read one repository, so its files change once for all, and a server that restarts in the middle loads what
is there at that moment. Therefore nothing public changes before every server has loaded and answered the new revision
under a name that says its content. Then the public model's folder is exchanged, and the servers load it in waves.
Where one refuses, the old folder comes back, and the servers that had moved load it again. How far it is, is written
down before each step: `sync` goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from tritonpm.catalogue import Source
from tritonpm.core.errors import BusyError, NotFoundError, TritonpmError
from tritonpm.fleet import journal
from tritonpm.fleet.context import Contexts, FleetContext
from tritonpm.fleet.journal import MOVING, PROVING, Rollout
from tritonpm.fleet.waves import Pace, size_of
from tritonpm.operations.fleet.run import RolledOut, Run
from tritonpm.operations.switch import Switching

if TYPE_CHECKING:
    from tritonpm.fleet.context import Server
    from tritonpm.operations.serving import Serving

_DEFAULT = Pace()


class Rolling(Switching):
    """The live changes of a workspace's packages, on all servers of a context."""

    def __init__(self, serving: Serving, fleet: str = "", pace: Pace = _DEFAULT) -> None:
        super().__init__(serving)
        self.pace, self.state = pace, self.context.workspace.state
        self.name = self._contexts.get(fleet).name

    @property
    def fleet(self) -> FleetContext:
        """The context as it is now. Raises NotFoundError."""
        return self._contexts.get(self.name)

    def load(self, name: str, servers: Iterable[str] = ()) -> RolledOut:
        """Publish a package and load it: on these servers too, or where it is, or on all of the context.

        Raises ServerError; every server then serves what it served before.
        """
        there, more = self.fleet.on(name), self.fleet.named(servers)
        chosen = {server.name: server for server in (*there, *more)} or {s.name: s for s in self.fleet.servers}
        return self._roll(name, lambda: None, tuple(chosen.values()))

    def _switch(self, name: str, change: Callable[[], None]) -> RolledOut:
        """What `set`, `upgrade` and `roll_back` do, on every server that serves the package."""
        self.context.catalogue.get(name)
        servers = self.fleet.on(name)
        if not servers:
            do = f"`tritonpm fleet load {name} --context {self.fleet.name}`"
            raise NotFoundError(f"no server of {self.fleet.name} serves {name}", do=do)
        return self._roll(name, change, servers)

    def finish(self, rollout: Rollout) -> RolledOut | None:
        """Go on with a roll-out whose manager was killed; None where it was undone. Raises ServerError."""
        names = rollout.servers
        run = self._run(tuple(server for server in self.fleet.servers if server.name in names), rollout)
        with changing(self.context, f"finish the roll-out of {rollout.package}"):
            if rollout.phase == MOVING:
                return self._carried_out(run)
            run.undo()
            return None

    def _roll(self, name: str, change: Callable[[], None], servers: tuple[Server, ...]) -> RolledOut:
        run = self._begun(name, servers)
        try:
            change()
            ensure(self.context, name)
            with changing(self.context, f"roll out {name}"):
                run.note(made=self._source(name), revision=wanted_revision(self.context, name))
                return self._carried_out(run)
        except BaseException:
            with suppress(TritonpmError):  # the first error is the one to tell
                self._call_off(run.rollout)
            raise

    def _begun(self, name: str, servers: tuple[Server, ...]) -> Run:
        """Everything that can be refused before anything is changed, then the journal's entry."""
        size_of(self.pace.wave, len(servers))
        others = [each.name for each in self._contexts.serving(name) if each.name != self.fleet.name]
        if others:
            do = f"`tritonpm fleet unload {name} --context {others[0]}` first"
            raise BusyError(f"{name} is on the servers of {others[0]}", do=do)
        before, published = self._source(name), self.context.catalogue.revision(name)
        journal.require_none(self.state)
        names = tuple(server.name for server in servers)
        run = self._run(servers, Rollout(self.fleet.name, name, PROVING, names, (), before, published))
        had = run.have()
        with changing(self.context, f"roll out {name}"):
            journal.require_none(self.state)
            run.note(had=had)
        return run

    def _carried_out(self, run: Run) -> RolledOut:
        """Prove, move and finish, or undo. The caller holds the workspace's lock. Raises ServerError."""
        try:
            run.prove()
            run.move()
        except TritonpmError as error:
            raise run.undone(error) from None
        except BaseException:
            run.undo()
            raise
        return run.finished()

    def _call_off(self, rollout: Rollout) -> None:
        """Nothing has happened but the change itself; what another tritonpm has changed since then stays."""
        if journal.opened(self.state) == rollout and rollout.revision is None:
            put_back(self.context, rollout.package, rollout.before)
            journal.close(self.state)

    def _run(self, servers: tuple[Server, ...], rollout: Rollout) -> Run:
        return Run(self.context, self.fleet, servers, self.pace, rollout)

    def _source(self, name: str) -> Source:
        record = self.context.catalogue.get(name)
        return Source(record.package, record.settings)

    @property
    def _contexts(self) -> Contexts:
        return Contexts.of(self.state)
