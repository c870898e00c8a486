"""Repositories elsewhere, in object stores and other folders: publish, load from there, verify, prune."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError, StorageError, TritonpmError
from tritonpm.operations import probe as probing
from tritonpm.operations import views
from tritonpm.repository import records
from tritonpm.repository.immutable import immutable, versions
from tritonpm.repository.location import located
from tritonpm.repository.sending import Sent, put_back, send, switches, unpublished
from tritonpm.repository.store import Store, side_by_side
from tritonpm.triton.ensembles import foreign_users
from tritonpm.triton.served_revision import serves

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.operations.serving import Serving
    from tritonpm.repository.records import Kept, StoredFile
    from tritonpm.triton.client import Client

_TICK = 1.1  # seconds; stores date objects to the second, and Triton loads again only what became newer


@dataclass(frozen=True)
class Published:
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


def opened(url: str) -> Store:
    """The store at a URL, or in a folder. Raises UsageError, RequirementError, StorageError."""
    return Store(located(url))


def publish(context: Context, names: Sequence[str], store: Store, *, anew: bool = False) -> list[Published]:
    """Bring packages, as their settings ask for, into a store; all of them where none is named.

    Raises NotFoundError and NotOptimisedError before anything is sent, StorageError.
    """
    wanted = names or [entry.name for entry in context.catalogue.packages()]
    revisions = [wanted_revision(context, name) for name in wanted]
    return [_published(context, revision, store, anew) for revision in revisions]


def load(serving: Serving, name: str, store: Store, *, probe: bool = True, timeout: float = 300.0) -> views.Loaded:
    """Publish into a store, load on a server that reads it, and prove it by an inference.

    Raises ServerError; what was current in the store is so again then. The catalogue's status is the workspace's own
    server's, and stays as it is.
    """
    context = serving.manager
    ensure(context, name)
    record, revision = context.catalogue.get(name), wanted_revision(context, name)
    with serving.client(load_timeout=timeout) as client:
        if not client.live():
            raise ServerError("no Triton answers", where=client.where, do="start one, or check the URL")
        before = switches(store, name)
        _published(context, revision, store, False)
        try:
            with context.progress(f"Loading {name}"):
                _load(client, store, revision, timeout)
                proved = probing.probe(context, client, record) if probe else "not probed"
        except TritonpmError as error:
            with suppress(TritonpmError):  # the first error is the one to tell
                _take_back(client, store, name, before)
            raise ServerError(f"{name} could not be loaded: {error.what}", where=client.where, do=error.do) from None
        _unload_old(client, store, revision)
    return views.Loaded(name, record.revision or 0, proved)


def verify(store: Store, name: str = "") -> list[views.Damage]:
    """What a store holds otherwise than its records say; every object of what is current is read.

    Raises StorageError.
    """
    found, there = [], store.listed("")
    kept = records.kept(store)
    for package, revisions in kept.items():
        if name in ("", package):
            current = next((each.record for each in revisions if each.current), None)
            if current is None:
                said = "is not published: a publish did not end, or it was withdrawn"
                found.append(views.Damage("package", package, said, mendable=True))
                continue
            found += filter(None, side_by_side(lambda file: _apart(store, file, there), current.files))
    known = _paths(each for revisions in kept.values() for each in revisions)
    strange = sorted(path for path in there if path not in known and not name)
    found += [views.Damage("foreign", path, "is in no record, and is left alone", mendable=False) for path in strange]
    return sorted(found, key=lambda damage: (damage.kind, damage.name))


def prune(store: Store, keep: int, name: str = "") -> Pruned:
    """Delete what only old revisions need: of one package, or of all; the current and the newest stay, `keep` in all.

    With `keep` 0 the package is withdrawn. Whatever no record names is left alone. Raises StorageError.
    """
    kept = records.kept(store)
    wanted = {package: revisions for package, revisions in kept.items() if name in ("", package)}
    gone = [each for package, revisions in wanted.items() for each in _old(store, package, revisions, keep)]
    staying = _paths(each for revisions in kept.values() for each in revisions if each not in gone)
    paths = (_paths(gone) - staying) & store.listed("").keys()
    switches = {each.record.switch.path: each.record.name for each in gone} if keep == 0 else {}
    for path, package in switches.items():
        store.write(path, unpublished(package))
    store.delete(paths - switches.keys())
    store.delete(switches)
    store.delete((each.path for each in gone), records=True)
    return Pruned(tuple(each.path.removesuffix(".json") for each in gone), len(paths))


def _paths(revisions: Iterable[Kept]) -> set[str]:
    return {file.path for each in revisions for file in each.record.files}


def _published(context: Context, revision: Revision, store: Store, anew: bool) -> Published:
    with context.progress(f"Publishing {revision.name}") as report:
        sent = send(store, revision, context.blobs, report, anew=anew)
    served = versions(immutable(revision).models[-1])
    return Published(revision.name, store.url, revision.digest, served, sent)


def _load(client: Client, store: Store, revision: Revision, timeout: float) -> None:
    """Load, until the server serves this revision: of what changed twice in a second it does not notice the second."""
    for _ in range(2):
        client.load_and_wait(revision.name, timeout=timeout)
        if serves(client, revision):
            return
        time.sleep(_TICK)
        put_back(store, revision.name, switches(store, revision.name))
    raise ServerError(
        "the server serves another revision than the one that was published", do=f"check that it reads {store.url}"
    )


def _take_back(client: Client, store: Store, name: str, before: dict[str, bytes]) -> None:
    """What did not prove itself does not stay: what was current is so again, or nothing is."""
    time.sleep(_TICK)
    put_back(store, name, before)
    if any(content != unpublished(name) for content in before.values()):
        client.load_and_wait(name)
    else:
        client.unload_and_wait(name)


def _unload_old(client: Client, store: Store, revision: Revision) -> None:
    """Unload the members of earlier revisions that no ensemble on the server needs."""
    kept = records.kept(store, revision.name).get(revision.name, [])
    ever = {path.partition("/")[0] for path in _paths(kept)}
    served = {state.name for state in client.index() if state.state == "READY"}
    for model in sorted(ever & served - {model.name for model in revision.models}):
        if not foreign_users(client, [model], ()):
            client.unload_and_wait(model)


def _apart(store: Store, file: StoredFile, there: Container[str]) -> views.Damage | None:
    if file.path not in there:
        return views.Damage("file", file.path, "is missing", mendable=True)
    if store.digest(file.path) != file.digest:
        return views.Damage("file", file.path, "is not what was published", mendable=True)
    return None


def _old(store: Store, package: str, revisions: list[Kept], keep: int) -> list[Kept]:
    """The revisions of a package that may go. Raises StorageError where it cannot be told which one is current."""
    if keep == 0:
        return revisions
    switch = store.read(revisions[0].record.switch.path)
    if switch not in (None, unpublished(package)) and not any(each.current for each in revisions):
        what = f"what is current of {package} is in no record: somebody else wrote its config"
        raise StorageError(what, where=store.url, do=f"publish {package} again first")
    return sorted(revisions, key=lambda each: not each.current)[keep:]  # the newest are first, and stay so
