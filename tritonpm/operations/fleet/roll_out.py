"""Changes to a fleet: proved on every server first, then brought in wave by wave, else undone everywhere.

All servers read one repository, so its files change once for all, and a server that restarts in the middle loads what
is there at that moment. Therefore nothing public changes before every server has loaded and answered the new revision
under a name that says its content. Then the public model's folder is exchanged, and the servers load it in waves.
Where one refuses, the old folder comes back, and the servers that had moved load it again. How far it is, is written
down before each step: `sync` goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import Source
from tritonpm.core.errors import BusyError, NotFoundError, ServerError, TritonpmError
from tritonpm.fleet import journal as journals
from tritonpm.fleet.journal import MOVING, PROVING, Rollout, RolloutJournal
from tritonpm.fleet.waves import Pace, size_of
from tritonpm.operations.audit import audited
from tritonpm.operations.fleet.contexts import contexts
from tritonpm.operations.fleet.many_servers import ManyServers
from tritonpm.operations.fleet.shared_repository import SharedRepository, configs_of
from tritonpm.operations.load import Loaded, UndeliveredError, deliver, shadow_of, take_back
from tritonpm.operations.local_repository import changing, tidy
from tritonpm.operations.optimize.jobs import ensure
from tritonpm.operations.package_source import package_source
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.rollback import revision_to
from tritonpm.operations.set import choose
from tritonpm.operations.switch import put_back, undo_change
from tritonpm.operations.upgrade import exchange
from tritonpm.triton.ensembles import NEXT

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.fleet.context import FleetContext, FleetServer
    from tritonpm.operations.context import Context

_DEFAULT = Pace()


@dataclass(frozen=True)
class RolledOut(Loaded):
    """A package that a fleet serves now; the servers that did not answer are left out, and follow with `sync`."""

    context: str = ""
    servers: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@audited("fleet load", "fleet_name")
def load(context: Context, fleet_name: str, name: str, servers: Iterable[str] = (), pace: Pace = _DEFAULT) -> RolledOut:
    """Publish a package and load it: on these servers too, or where it is, or on all of the context.

    Raises ServerError; every server then serves what it served before.
    """
    fleet = contexts(context).get(fleet_name)
    there, more = fleet.on(name), fleet.named(servers)
    chosen = {server.name: server for server in (*there, *more)} or {server.name: server for server in fleet.servers}
    return _roll_out(context, fleet, name, tuple(chosen.values()), lambda: None, pace)


@audited("fleet set", "fleet_name", "changes")
def change(
    context: Context, fleet_name: str, name: str, changes: Mapping[str, object], pace: Pace = _DEFAULT, *,
    stage: str | None = None, unset: Sequence[str] = (),
) -> RolledOut:  # fmt: skip
    """Other settings, on every server that serves the package, or on none. Raises RuleError, ServerError."""
    return _switch(context, fleet_name, name, lambda: choose(context, name, changes, stage=stage, unset=unset), pace)


@audited("fleet upgrade", "fleet_name", "source")
def upgrade(
    context: Context, fleet_name: str, name: str, source: str | Path, pace: Pace = _DEFAULT, *,
    allow_code: bool = False,
) -> RolledOut:  # fmt: skip
    """Another content, at a path or an address, on every server that serves the package, or on none.

    Raises PackageError, ServerError, and what `fetch` raises.
    """
    context.catalogue.get(name)
    with package_source(context, source) as path:
        return _switch(context, fleet_name, name, lambda: exchange(context, name, path, allow_code=allow_code), pace)


@audited("fleet rollback", "fleet_name", "number")
def rollback(
    context: Context, fleet_name: str, name: str, number: int | None = None, pace: Pace = _DEFAULT
) -> RolledOut:
    """Back along what served, or to the revision of that number, on every server that serves the package, or on none.

    Raises NotFoundError, UsageError, ServerError.
    """
    _, source, revision = revision_to(context, name, number)
    return _switch(
        context, fleet_name, name, lambda: put_back(context, name, source), pace, revision, back=number is None
    )


def finish(context: Context, rollout: Rollout, pace: Pace = _DEFAULT) -> RolledOut | None:
    """Go on with a roll-out whose process was killed; None where it was undone. Raises ServerError."""
    fleet = contexts(context).get(rollout.context)
    servers = tuple(server for server in fleet.servers if server.name in rollout.servers)
    journal = RolloutJournal(context.workspace.state, rollout)
    run = ManyServers(context, fleet, servers, pace, journal)
    with changing(context, f"finish the roll-out of {rollout.package}"):
        if rollout.phase == MOVING:
            return _carry_out(context, run)
        if rollout.revision is None:  # nothing has happened but the change itself
            _undo_wanted(context, rollout)
            journal.close()
            return None
        repository = _repository(context, fleet, journal)
        take_back(repository, run, _names(rollout.revision))
        _end_undone(context, run, repository)
        return None


def _switch(
    context: Context, fleet_name: str, name: str, make_change: Callable[[], None], pace: Pace,
    revision: Revision | None = None, *, back: bool = False,
) -> RolledOut:  # fmt: skip
    """A change to what is wanted, on every server that serves the package. Raises NotFoundError where none does."""
    fleet = contexts(context).get(fleet_name)
    context.catalogue.get(name)
    servers = fleet.on(name)
    if not servers:
        do = f"`tritonpm fleet load {name} --context {fleet.name}`"
        raise NotFoundError(f"no server of {fleet.name} serves {name}", do=do)
    return _roll_out(context, fleet, name, servers, make_change, pace, revision, back=back)


def _roll_out(
    context: Context, fleet: FleetContext, name: str, servers: tuple[FleetServer, ...],
    make_change: Callable[[], None], pace: Pace, revision: Revision | None = None, *, back: bool = False,
) -> RolledOut:  # fmt: skip
    """`revision` is what comes of the change where that is known; `back` is a roll-back."""
    run = _begin(context, fleet, name, servers, pace, back=back)
    try:
        make_change()
        if revision is None:
            ensure(context, name)
        with changing(context, f"roll out {name}"):
            run.journal.note(made=_source(context, name), revision=revision or wanted_revision(context, name))
            return _carry_out(context, run)
    except BaseException:
        with suppress(TritonpmError):  # the first error is the one to tell
            _call_off(context, run.journal)
        raise


def _begin(
    context: Context, fleet: FleetContext, name: str, servers: tuple[FleetServer, ...], pace: Pace, *, back: bool
) -> ManyServers:
    """Everything that can be refused before anything is changed, then the journal's entry."""
    size_of(pace.wave, len(servers))
    state = context.workspace.state
    others = [other.name for other in contexts(context).serving(name) if other.name != fleet.name]
    if others:
        do = f"`tritonpm fleet unload {name} --context {others[0]}` first"
        raise BusyError(f"{name} is on the servers of {others[0]}", do=do)
    before, proved = _source(context, name), context.catalogue.proved(name)
    journals.require_none(state)
    rollout = Rollout(
        fleet.name, name, PROVING, tuple(server.name for server in servers), (), before,
        proved.revision if proved else context.catalogue.revision(name), back=back, configs=configs_of(fleet, name),
    )  # fmt: skip
    run = ManyServers(context, fleet, servers, pace, RolloutJournal(state, rollout))
    had = run.having()
    with changing(context, f"roll out {name}"):
        journals.require_none(state)
        run.journal.note(had=had)
    return run


def _carry_out(context: Context, run: ManyServers) -> RolledOut:
    """Deliver what the journal says, or undo it. The caller holds the workspace's lock. Raises ServerError."""
    rollout = run.journal.rollout
    revision = rollout.revision
    if revision is None:
        raise NotFoundError("the roll-out has not got as far as a revision", where=rollout.package)
    repository = _repository(context, run.fleet, run.journal)
    current = context.catalogue.revision(rollout.package)
    is_new = current is None or current.digest != revision.digest
    shadow = _shadow(revision) if rollout.phase == PROVING and rollout.had and is_new else None
    with context.catalogue.intent("roll out", _names(revision)):
        try:
            proof = deliver(revision, repository, run, shadow)
        except UndeliveredError as error:
            _end_undone(context, run, repository)
            raise _not_rolled_out(run, error) from None
        except BaseException:
            _end_undone(context, run, repository)
            raise
    return _finished(context, run, proof)


def _finished(context: Context, run: ManyServers, proof: str) -> RolledOut:
    """The fleet is new: remember it, and take away what nothing needs any more."""
    catalogue, rollout, name = context.catalogue, run.journal.rollout, run.name
    known = contexts(context)
    known.put(known.get(rollout.context).holding(name, rollout.servers)).keep(context.workspace.state)
    record = catalogue.get(name)
    number = record.revision or 0
    (catalogue.go_back if rollout.back else catalogue.prove)(
        name, number, probed=record.probed, loaded=False, source=rollout.made
    )
    if record.status in ("imported", "failed"):
        catalogue.set_status(name, "ready")
    run.tidy()
    tidy(context, name)
    run.journal.close()
    left = tuple(server.name for server in run.left)
    return RolledOut(name, number, proof, rollout.context, left, tuple(run.lost))


def _not_rolled_out(run: ManyServers, error: UndeliveredError) -> ServerError:
    """What the fleet serves after a roll-out that failed."""
    rollout, behind = run.journal.rollout, run.behind
    had = rollout.had and rollout.revision_before
    reason = f"{error.where}: {error.what}" if error.where else error.what
    what = f"every server{' that answers' if behind else ''} serves {'what it served' if had else 'as'} before"
    if behind:
        what += f" ({'; '.join(behind)})"
    do = "" if error.whole else f"`tritonpm fleet sync --context {rollout.context}` once they answer"
    return ServerError(f"{run.name} was not rolled out: {reason}; {what}", do=do)


def _end_undone(context: Context, run: ManyServers, repository: SharedRepository) -> None:
    """What is wanted becomes what it was; where the repository did not, the journal stays for `sync`."""
    _undo_wanted(context, run.journal.rollout)
    if repository.is_back:
        run.journal.close()


def _call_off(context: Context, journal: RolloutJournal) -> None:
    """Nothing has happened but the change itself; what another tritonpm has changed since then stays."""
    with changing(context, f"call off {journal.rollout.package}"):
        if journals.opened(journal.state) == journal.rollout and journal.rollout.revision is None:
            _undo_wanted(context, journal.rollout)
            journal.close()


def _undo_wanted(context: Context, rollout: Rollout) -> None:
    with suppress(NotFoundError):  # another tritonpm has removed it
        made = rollout.made or _source(context, rollout.package)
        undo_change(context, rollout.package, rollout.before, made)


def _repository(context: Context, fleet: FleetContext, journal: RolloutJournal) -> SharedRepository:
    rollout = journal.rollout
    return SharedRepository(
        context, fleet, rollout.package, rollout.revision_before, rollout.configs,
        lambda phase: journal.note(phase=phase),
    )  # fmt: skip


def _shadow(revision: Revision) -> Revision:
    """The revision under a name that says its content: it may be loaded anywhere at any time."""
    return shadow_of(revision, f"{NEXT}-{revision.digest[:12]}")


def _names(revision: Revision) -> tuple[str, ...]:
    """All folders that its roll-out may leave behind."""
    return (*(model.name for model in revision.models), _shadow(revision).name)


def _source(context: Context, name: str) -> Source:
    record = context.catalogue.get(name)
    return Source(record.package, record.settings)
