"""`tritonpm load`: the one delivery, by which every revision comes to a server; and who else brings one package.

publish → load → read back → probe → keep or undo. With a rehearsal the revision is loaded and asked under a name of its
own first, beside what serves: where it does not prove itself, nobody has noticed. What failed leaves the repository and
the servers with what they had before.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tritonpm.catalogue import Source
from tritonpm.core.errors import (
    CapacityError,
    NotFoundError,
    ServerError,
    StorageError,
    TritonpmError,
    WrongAnswerError,
)
from tritonpm.core.rollback import UNKNOWN, undone
from tritonpm.core.types import RenderedModel, Revision
from tritonpm.operations.audit import audited
from tritonpm.operations.in_place import is_in_place, load_in_place
from tritonpm.operations.list import NOT_PROBED
from tritonpm.operations.local_repository import DELIVERY, changing, is_current, put, restore, settle, tidy
from tritonpm.operations.members import members
from tritonpm.operations.memory import require_room_on_gpus, room_for
from tritonpm.operations.on_demand import make_room, remember_host, server_memory
from tritonpm.operations.optimize.jobs import ensure
from tritonpm.operations.probe import probe as probe_model
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.server import (
    address_of,
    await_return,
    await_server,
    connect,
    is_loaded,
    log_size,
    reason_in_log,
    require_live,
)
from tritonpm.operations.stubs import renew
from tritonpm.operations.unload import unload_old
from tritonpm.settings.settings import ON_DEMAND
from tritonpm.triton.ensembles import NEXT, members_of, unload_unneeded
from tritonpm.triton.served_revision import OWN_FOLDER, load_revision, serves

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

TIMEOUT = 300.0  # seconds until a package must be loaded


@dataclass(frozen=True)
class Loaded:
    """A package that was loaded, and what its probe proved; `revision` is 0 of a model that is none."""

    name: str
    revision: int
    probe: str


class Destination(Protocol):
    """The repository that the servers of one delivery read: a folder, or an object store."""

    def rehearse(self, shadow: Revision) -> None:
        """Bring a revision there under a name of its own, with its members. Raises StorageError."""

    def exchange(self, revision: Revision) -> None:
        """Make a revision the one that is loaded under its public name from now on. Raises StorageError."""

    def take_back(self) -> None:
        """Make what was current before current again. Raises StorageError."""

    def settle(self, names: tuple[str, ...]) -> None:
        """Take away, of these models, what no current revision has. Raises StorageError."""


class Servers(Protocol):
    """Who serves what is delivered: one server, or many in waves."""

    def prove(self, shadow: Revision) -> None:
        """Load the rehearsal beside what serves, have it answer, and take it away. Raises ServerError."""

    def move(self, revision: Revision) -> str:
        """Load, read back and probe what the repository holds now; what was proved. Raises ServerError."""

    def take_back(self) -> None:
        """Serve what was served before. Raises ServerError."""


class UndeliveredError(ServerError):
    """A delivery failed, for `error`. `rehearsing`: nobody noticed; `whole`: all is as it was before."""

    def __init__(self, error: TritonpmError, *, rehearsing: bool, whole: bool) -> None:
        super().__init__(error.what, where=error.where, do=error.do)
        self.error, self.rehearsing, self.whole = error, rehearsing, whole


def deliver(revision: Revision, destination: Destination, servers: Servers, shadow: Revision | None = None) -> str:
    """Bring a revision to servers, after a rehearsal as `shadow` where one is given; what was proved.

    Raises UndeliveredError; repository and servers are then as they were, as far as it says.
    """
    names = tuple(model.name for model in revision.models)
    rehearsing = shadow is not None
    try:
        if shadow is not None:
            names = (*names, shadow.name)
            destination.rehearse(shadow)
            servers.prove(shadow)
        rehearsing = False
        destination.exchange(revision)
        if shadow is not None:  # only now: in a store the exchange uses what the rehearsal has sent
            destination.settle((shadow.name,))
        return servers.move(revision)
    except BaseException as error:
        whole = take_back(destination, servers, names)
        if isinstance(error, TritonpmError):
            raise UndeliveredError(error, rehearsing=rehearsing, whole=whole) from None
        raise


def take_back(destination: Destination, servers: Servers, names: tuple[str, ...]) -> bool:
    """Make the repository and the servers what they were before the delivery of models `names`; whether they are."""
    return undone([destination.take_back, servers.take_back, lambda: destination.settle(names)])


def shadow_of(revision: Revision, suffix: str = NEXT) -> Revision:
    """The same revision with another public name; members keep theirs."""
    name, last = revision.name + suffix, revision.models[-1]
    files = tuple(
        replace(file, text=file.text.replace(f'name: "{revision.name}"', f'name: "{name}"', 1))
        if file.text and file.path.endswith(".pbtxt")
        else file
        for file in last.files
    )
    return Revision(name, revision.digest, (*revision.models[:-1], RenderedModel(name, files)))


class LocalRepository:
    """The workspace's own folder; `before` is what is to be current again where a delivery fails."""

    def __init__(self, context: Context, before: Revision | None) -> None:
        self.context, self.before = context, before

    def rehearse(self, shadow: Revision) -> None:
        """Write it beside what is current."""
        put(self.context, shadow)

    def exchange(self, revision: Revision) -> None:
        """Nothing is written where it is current, and whole."""
        if not is_current(self.context, revision.name, revision):
            restore(self.context, revision.name, revision)

    def take_back(self) -> None:
        """Where nothing was proved before, what is there stays: the next load writes over it."""
        if self.before is not None:
            self.exchange(self.before)

    def settle(self, names: tuple[str, ...]) -> None:
        """As `local_repository.settle`."""
        settle(self.context, names)


@dataclass
class OneServer:
    """The server that a connection goes to. `before` is what it shall go back to, None where it served nothing.

    `patience` is for how many seconds it may still see the old content of what it `reads`.
    """

    context: Context
    client: Client
    record: Record  # what the answers are held against
    revision: Revision
    before: Revision | None
    probe: bool = True
    timeout: float = TIMEOUT
    patience: float = 0.0
    reads: str = OWN_FOLDER
    here: bool = True  # whether it loads into this machine's memory: there has to be room, and what it took is kept
    moved: bool = False

    def prove(self, shadow: Revision) -> None:
        """As `Servers.prove`. Raises CapacityError where they do not both fit into memory."""
        self._make_room(shadow)
        with self.context.progress(f"Rehearsing {self.revision.name}"):
            self.client.load_and_wait(shadow.name, timeout=self.timeout)
            if self.probe:
                probe_model(self.context, self.client, self.record, model=shadow.name)
            self.client.unload_and_wait(shadow.name)

    def move(self, revision: Revision) -> str:
        """As `Servers.move`."""
        self._make_room(revision)
        self.moved = True
        memory = room_for(self.context, self.record, revision) if self.here else nullcontext()
        with self.context.progress(f"Loading {revision.name}"), memory:
            self._load(revision)
            return probe_model(self.context, self.client, self.record) if self.probe else NOT_PROBED

    def take_back(self) -> None:
        """What served before serves again, or nothing does; what only the failed revision needs goes."""
        name = self.revision.name
        if self.moved and self.before is not None:
            self._load(self.before)
        elif self.moved:
            self.client.unload_and_wait(name)
        kept = {self.before.name, *members_of(self.before)} if self.before else set()
        rehearsals = {model for model in self.client.serving() if model.startswith(name + NEXT)}
        unload_unneeded(self.client, {*rehearsals, *members_of(self.revision)} - kept)

    def _load(self, revision: Revision) -> None:
        if self.here:
            renew(self.context, self.client, [model.name for model in revision.models])
        load_revision(self.client, revision, timeout=self.timeout, patience=self.patience, reads=self.reads)

    def _make_room(self, revision: Revision) -> None:
        if self.here:
            on_gpus = partial(require_room_on_gpus, self.context, self.record, self.revision)
            make_room(self.context, self.client, revision, on_gpus)


@audited("load")
def load(context: Context, name: str, *, probe: bool = True, timeout: float = TIMEOUT, wait: float = 0.0) -> Loaded:
    """Bring what is wanted to the server; `wait` seconds for one that is coming up, and for one
    that has just ended until it is back.

    A model of a server that was named, and no package here, is loaded as it lies there. Raises ServerError; what served
    before serves again then, and it is what a restart brings back.
    """
    if is_in_place(context, name):
        return Loaded(name, 0, load_in_place(context, name, probe=probe, timeout=timeout))
    await_return(context)
    await_server(context, wait)
    for member in members(context, name):
        if not is_loaded(context, member):
            load(context, member, probe=probe, timeout=timeout)
    return _load_wanted(context, name, probe=probe, timeout=timeout)


def _load_wanted(context: Context, name: str, *, probe: bool, timeout: float) -> Loaded:
    ensure(context, name)
    with connect(context, load_timeout=timeout) as client, changing(context, f"load {name}"):
        record, revision = context.catalogue.get(name), wanted_revision(context, name)
        return bring(context, client, record, revision, probe=probe, timeout=timeout, wanted=True)


def load_proved(context: Context, name: str, *, timeout: float = TIMEOUT, only_wanted: bool = False) -> Loaded:
    """Bring back the proved revision of a package, in the way in which it was proved; what is wanted stays as it is.

    Where nothing was proved yet, what is wanted is loaded. Raises ServerError; with `only_wanted` NotFoundError where
    somebody has just said that it shall not be loaded.
    """
    if context.catalogue.proved(name) is None:
        return _load_wanted(context, name, probe=True, timeout=timeout)
    with connect(context, load_timeout=timeout) as client, changing(context, f"load {name}"):
        proved = context.catalogue.proved(name)
        if proved is None:  # another tritonpm has renamed or removed it meanwhile
            raise NotFoundError(f"{name} no longer has a proved revision", do=f"`tritonpm load {name}`")
        if only_wanted and not context.catalogue.get(name).wanted:
            raise NotFoundError(f"{name} was unloaded meanwhile", do=f"`tritonpm load {name}`, if it is to be loaded")
        record = as_proved(context, name)
        return bring(context, client, record, proved.revision, probe=proved.probed, timeout=timeout)


def ensure_loaded(context: Context, name: str) -> None:
    """Load an on-demand package that is not loaded: somebody is about to use it. Raises ServerError."""
    with suppress(NotFoundError):  # a model that the workspace does not know
        if context.catalogue.get(name).settings.residency == ON_DEMAND and not is_loaded(context, name):
            load_proved(context, name)


def bring(
    context: Context, client: Client, record: Record, revision: Revision, *,
    probe: bool, timeout: float = TIMEOUT, wanted: bool = False, rehearse: bool = False, back: bool = False,
) -> Loaded:  # fmt: skip
    """Deliver a revision to the server of a connection, and remember that it was proved.

    For who holds the workspace's lock. `wanted`: it is what the record asks for. `rehearse` it first, where the server
    has another one; `back` is a roll-back, which shortens the stack of what served. Raises ServerError, CapacityError.
    """
    require_live(client)
    name, catalogue, offset = revision.name, context.catalogue, log_size(context)
    before = serving_revision(context, client, name)
    proved = catalogue.proved(name)
    back_to = proved.revision if proved else before
    destination = LocalRepository(context, back_to)
    server = OneServer(context, client, record, revision, back_to if before else None, probe, timeout)
    shadow = shadow_of(revision) if rehearse and before != revision else None
    folders = dict.fromkeys(model.name for one in (before, revision) if one for model in one.models)
    failure: TritonpmError | None = None
    memory = server_memory(context)
    with catalogue.intent(DELIVERY, (*folders, name + NEXT)):
        try:
            proof = deliver(revision, destination, server, shadow)
        except UndeliveredError as error:
            failure = _failed(context, name, error, reason_in_log(context, error.what, name, offset), before)
            if not error.whole:  # the next change finishes what could not be taken back
                raise failure from None
        else:
            number = catalogue.get(name).revision or 0
            remember = catalogue.go_back if back else catalogue.prove
            source = Source(record.package, record.settings) if wanted else None
            remember(name, number, probed=probe, server=address_of(context), source=source)
            with suppress(ServerError):  # the package serves; what is left over is drift, and `sync` takes it away
                unload_old(context, client, name)
            tidy(context, name)
    if failure:
        raise failure
    remember_host(context, revision, memory)
    return Loaded(name, number, proof)


def as_proved(context: Context, name: str) -> Record:
    """A package as its proved revision was made; as it is now where that is not known. Raises NotFoundError."""
    record, proved = context.catalogue.get(name), context.catalogue.proved(name)
    if proved is None or proved.source is None:
        return record
    return replace(record, package=replace(proved.source.package, name=name), settings=proved.source.settings)


def serving_revision(context: Context, client: Client, name: str) -> Revision | None:
    """The revision that answers; not the current one where a load was killed after it had published."""
    if not client.ready(name):
        return None
    known = (kept.revision for kept in context.catalogue.history(name) if kept.revision.name == name)
    answering = next((revision for revision in known if serves(client, revision)), None)
    return answering or context.catalogue.revision(name)


def _failed(
    context: Context, name: str, error: UndeliveredError, reason: str, before: Revision | None
) -> TritonpmError:
    """Note what came of a delivery that failed, and say it."""
    if error.rehearsing:
        return _not_rehearsed(name, error, reason)
    serves_on = before is not None and error.whole
    context.catalogue.set_status(name, "loaded" if serves_on else "failed", "" if serves_on else reason)
    context.catalogue.set_problem(name, reason)
    with suppress(TritonpmError):  # the first error is the one to tell
        tidy(context, name)
    if isinstance(error.error, StorageError):  # the server has nothing to do with it
        return error.error
    do = "see `tritonpm logs`" if error.whole else UNKNOWN
    return _kind(error)(f"{name} could not be loaded: {reason}", do=do)


def _not_rehearsed(name: str, error: UndeliveredError, reason: str) -> TritonpmError:
    if isinstance(error.error, StorageError):
        return error.error
    if isinstance(error.error, CapacityError) or "out of memory" in str(error.error).lower():
        return CapacityError(
            f"they do not both fit into memory: {reason}",
            where=name,
            do=f"`tritonpm unload {name}`, set, and `tritonpm load {name}`: a short outage",
        )
    what = f"the new revision does not prove itself, so the old one keeps serving: {reason}"
    return _kind(error)(what, where=name, do="" if error.whole else UNKNOWN)


def _kind(error: UndeliveredError) -> type[ServerError]:
    """The server is to blame, unless all that failed is the model's answer."""
    return WrongAnswerError if isinstance(error.error, WrongAnswerError) else ServerError
