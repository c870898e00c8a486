"""Repositories elsewhere, in object stores and other folders: publish, load from there, verify, prune."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError, StorageError
from tritonpm.operations.audit import audited
from tritonpm.operations.load import TIMEOUT, Loaded, OneServer, UndeliveredError, deliver
from tritonpm.operations.optimize.jobs import ensure
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.server import connect, require_live
from tritonpm.operations.verify import Damage
from tritonpm.repository import records
from tritonpm.repository.immutable import immutable, versions
from tritonpm.repository.location import located
from tritonpm.repository.sending import Sent, put_back, send, switches, unpublished
from tritonpm.repository.store import Store, side_by_side
from tritonpm.triton.ensembles import NEXT, unload_unneeded
from tritonpm.triton.served_revision import STALE

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.repository.records import Kept, StoredFile

_TICK = 1.1  # seconds; stores date objects to the second, and Triton loads again only what became newer


@dataclass(frozen=True)
class StoredPackage:
    """A package in a store: its revision, the versions that Triton serves, and what had to be sent for it."""

    name: str
    repository: str
    revision: str
    versions: tuple[str, ...]
    sent: Sent


@dataclass(frozen=True)
class Pruned:
    """What went from a store: revisions of packages, and how many objects."""

    revisions: tuple[str, ...]
    objects: int


class RemoteRepository:
    """A store that servers read, as the destination of a package's delivery.

    `before` are the public model's configs, by path, that are current again where the delivery fails.
    """

    def __init__(self, context: Context, store: Store, name: str, before: Mapping[str, bytes]) -> None:
        self.context, self.store, self.name, self.before = context, store, name, before

    def rehearse(self, shadow: Revision) -> None:
        """Send it; what it shares with what is there is not sent again."""
        publish_revision(self.context, shadow, self.store)

    def exchange(self, revision: Revision) -> None:
        """Send what is missing, and then the public config: at another second than the one before."""
        if self.before:
            time.sleep(_TICK)
        publish_revision(self.context, revision, self.store)

    def take_back(self) -> None:
        """Where nothing was current before, nothing is loaded from there again."""
        if switches(self.store, self.name) != self.before:
            time.sleep(_TICK)
            put_back(self.store, self.name, self.before)

    def settle(self, names: tuple[str, ...]) -> None:
        """Rehearsals go. What a revision has sent stays, on record, until `prune`."""
        for name in names:
            if NEXT in name:
                prune(self.store, 0, name)


def opened(url: str) -> Store:
    """The store at a URL, or in a folder. Raises UsageError, RequirementError, StorageError."""
    return Store(located(url))


@audited("publish", "names")
def publish(context: Context, names: Sequence[str], store: Store, *, anew: bool = False) -> list[StoredPackage]:
    """Bring packages, as their settings ask for, into a store; all of them where none is named.

    Raises NotFoundError and NotOptimisedError before anything is sent, StorageError.
    """
    wanted = names or [entry.name for entry in context.catalogue.packages()]
    revisions = [wanted_revision(context, name) for name in wanted]
    return [publish_revision(context, revision, store, anew=anew) for revision in revisions]


def publish_revision(context: Context, revision: Revision, store: Store, *, anew: bool = False) -> StoredPackage:
    """Send what a store lacks of a revision, or all of it `anew`, and make it current there. Raises StorageError."""
    with context.progress(f"Publishing {revision.name}") as report:
        sent = send(store, revision, context.blobs, report, anew=anew)
    served = versions(immutable(revision).models[-1])
    return StoredPackage(revision.name, store.url, revision.digest, served, sent)


def load(context: Context, name: str, store: Store, *, probe: bool = True, timeout: float = TIMEOUT) -> Loaded:
    """Publish into a store, load on a server that reads it, and prove it by an inference.

    Raises ServerError; what was current in the store is so again then. The catalogue's status is the workspace's own
    server's, and stays as it is.
    """
    ensure(context, name)
    record, revision = context.catalogue.get(name), wanted_revision(context, name)
    with connect(context, load_timeout=timeout) as client:
        require_live(client)
        before = records.current_revision(store, name) if client.ready(name) else None
        destination = RemoteRepository(context, store, name, switches(store, name))
        server = OneServer(
            context, client, record, revision, before, probe, timeout, patience=STALE, reads=store.url, here=False
        )
        try:
            proof = deliver(revision, destination, server)
        except UndeliveredError as error:
            where = error.where or client.where
            raise ServerError(f"{name} could not be loaded: {error.what}", where=where, do=error.do) from None
        kept = records.kept(store, name).get(name, [])
        ever = {path.partition("/")[0] for path in _paths(kept)}
        unload_unneeded(client, ever - {model.name for model in revision.models})
    return Loaded(name, record.revision or 0, proof)


def verify(store: Store, name: str = "") -> list[Damage]:
    """What a store holds otherwise than its records say; every object of what is current is read.

    Raises StorageError.
    """
    damages, there = [], store.listed("")
    kept = records.kept(store)
    for package, revisions in kept.items():
        if name in ("", package):
            current = next((one.record for one in revisions if one.current), None)
            if current is None:
                sentence = "is not published: a publish did not end, or it was withdrawn"
                damages.append(Damage("package", package, sentence, mendable=True))
                continue
            damages += filter(None, side_by_side(lambda file: _apart(store, file, there), current.files))
    known = _paths(one for revisions in kept.values() for one in revisions)
    strange = sorted(path for path in there if path not in known and not name)
    damages += [Damage("foreign", path, "is in no record, and is left alone", mendable=False) for path in strange]
    return sorted(damages, key=lambda damage: (damage.kind, damage.name))


def prune(store: Store, keep: int, name: str = "") -> Pruned:
    """Delete what only old revisions need: of one package, or of all; the current and the newest stay, `keep` in all.

    With `keep` 0 the package is withdrawn. Whatever no record names is left alone. Raises StorageError.
    """
    kept = records.kept(store)
    wanted = {package: revisions for package, revisions in kept.items() if name in ("", package)}
    gone = [old for package, revisions in wanted.items() for old in _old(store, package, revisions, keep)]
    staying = _paths(one for revisions in kept.values() for one in revisions if one not in gone)
    paths = (_paths(gone) - staying) & store.listed("").keys()
    configs = {old.record.switch.path: old.record.name for old in gone} if keep == 0 else {}
    for path, package in configs.items():
        store.write(path, unpublished(package))
    store.delete(paths - configs.keys())
    store.delete(configs)
    store.delete((old.path for old in gone), records=True)
    return Pruned(tuple(old.path.removesuffix(".json") for old in gone), len(paths))


def _paths(revisions: Iterable[Kept]) -> set[str]:
    return {file.path for revision in revisions for file in revision.record.files}


def _apart(store: Store, file: StoredFile, there: Container[str]) -> Damage | None:
    if file.path not in there:
        return Damage("file", file.path, "is missing", mendable=True)
    if store.digest(file.path) != file.digest:
        return Damage("file", file.path, "is not what was published", mendable=True)
    return None


def _old(store: Store, package: str, revisions: list[Kept], keep: int) -> list[Kept]:
    """The revisions of a package that may go. Raises StorageError where it cannot be told which one is current."""
    if keep == 0:
        return revisions
    switch = store.read(revisions[0].record.switch.path)
    if switch not in (None, unpublished(package)) and not any(one.current for one in revisions):
        what = f"what is current of {package} is in no record: somebody else wrote its config"
        raise StorageError(what, where=store.url, do=f"publish {package} again first")
    return sorted(revisions, key=lambda one: not one.current)[keep:]  # the newest are first, and stay so
