"""The workspace's own model repository, made to agree with the catalogue; every change of the two goes through here.

Order of every change: read and refuse first; then, under the workspace's lock, finish what a crash left (`recover`),
journal the intent, change the catalogue, make the disk agree, close the intent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tritonpm.catalogue import lock
from tritonpm.core.errors import BusyError, StorageError
from tritonpm.core.types import Revision
from tritonpm.operations.server import keep_supervised
from tritonpm.triton.ensembles import NEXT

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

DELIVERY = "load"  # what the journal calls a revision on its way to a server


@contextmanager
def changing(context: Context, what: str) -> Iterator[None]:
    """Hold the workspace's lock, with what a crash left over finished first. Raises BusyError.

    A supervisor that was killed, and its successor too, is a thing that a crash left over.
    """
    with lock(context.workspace, what, waiting=context.warn):
        recover(context)
        keep_supervised(context)
        yield


def recover(context: Context) -> None:
    """Finish what a killed process began: the folders it was changing are made to agree with the catalogue.

    What cannot be finished (a blob is gone, somebody's folder is in the way) is told, and tried again the next time; it
    stands in the way of no other package, nor of the import that heals it.
    """
    catalogue = context.catalogue
    context.workspace.sweep()
    for intent, operation, models in catalogue.open_intents():
        try:
            settle(context, tuple(dict.fromkeys((*models, *_back_to_proved(context, operation, models)))))
        except StorageError as error:
            context.warn(f"Warning: what a killed {operation} began cannot be finished: {error}.")
        else:
            catalogue.close_intent(intent)


def _back_to_proved(context: Context, operation: str, models: tuple[str, ...]) -> tuple[str, ...]:
    """The folders of what was proved, which is current again where a delivery was killed before it had proved its own.

    So what lies in the repository is what a restart brings back.
    """
    if operation != DELIVERY:
        return ()
    folders: list[str] = []
    for current in list(context.catalogue.holding(models)):
        proved = context.catalogue.proved(current.name) if current.name + NEXT in models else None
        if proved:
            folders += [model.name for model in proved.revision.models]
            if proved.revision.digest != current.digest:
                context.catalogue.add_revision(current.name, proved.revision)
    return tuple(folders)


def restore(context: Context, name: str, revision: Revision) -> None:
    """Make `revision` the package's current one, in the catalogue and in the repository.

    Raises StorageError, and nothing has changed, where one of its folders is somebody else's or a blob has rotted.
    """
    from tritonpm.repository.publish import require_publishable

    models = tuple(model.name for model in revision.models)
    require_publishable(revision, context.workspace.repository, context.blobs.verify)
    with context.catalogue.intent("publish", models):
        context.catalogue.add_revision(name, revision)
        settle(context, models)


def is_current(context: Context, name: str, revision: Revision) -> bool:
    """Whether `revision` is the package's current one, and whole in the repository."""
    from tritonpm.repository.publish import is_there

    current = context.catalogue.revision(name)
    if current is None or current.digest != revision.digest:
        return False
    return all(is_there(model, context.workspace.repository / model.name) for model in revision.models)


def put(context: Context, revision: Revision) -> None:
    """Write a revision's folders, not making it current: the caller's journal entry tells what becomes of them."""
    from tritonpm.repository.publish import publish, require_publishable

    require_publishable(revision, context.workspace.repository, context.blobs.verify)
    with context.workspace.scratch("publish") as staging:
        publish(revision, context.workspace.repository, staging, context.blobs.path)


def settle(context: Context, models: tuple[str, ...], *, anew: bool = False) -> None:
    """Make the folders of `models` what the catalogue's current revisions say: there, whole, or not there.

    `anew` writes also those that look right.
    """
    from tritonpm.repository.publish import publish, withdraw

    owners = context.catalogue.holding(models)
    owner_of = {model.name: revision for revision in owners for model in revision.models}
    revisions = {revision.name: revision for name in models if (revision := owner_of.get(name))}
    root, blob_path = context.workspace.repository, context.blobs.path
    with context.workspace.scratch("publish") as staging:
        for revision in revisions.values():
            touched = tuple(model for model in revision.models if model.name in models)
            publish(Revision(revision.name, revision.digest, touched), root, staging, blob_path, anew=anew)
        withdraw([name for name in models if name not in owner_of], root, staging, blob_path)


def tidy(context: Context, name: str) -> None:
    """Withdraw members of earlier revisions that the package's current one does not need.

    Where it was named otherwise once, somebody else's model may have that name now.
    """
    from tritonpm.repository.publish import is_ours

    old, root = sorted(context.catalogue.models_ever(name) - set(models(context, name))), context.workspace.repository
    there = tuple(model for model in old if (root / model).is_dir() and is_ours(root / model, context.blobs.path))
    if there:
        with context.catalogue.intent("tidy", there):
            settle(context, there)


def models(context: Context, name: str) -> tuple[str, ...]:
    """The model folders of a package's current revision."""
    revision = context.catalogue.revision(name)
    return tuple(model.name for model in revision.models) if revision else ()


def unowned(context: Context) -> list[str]:
    """The folders that were made here and no revision that can be read has."""
    from tritonpm.repository.publish import is_ours

    root = context.workspace.repository
    owned = {model.name for revision in context.catalogue.published() for model in revision.models}
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name not in owned]
    return [folder.name for folder in folders if is_ours(folder, context.blobs.path)]


def collect(context: Context) -> int:
    """Delete the blobs that nobody refers to, and first what is known of those that were made here; how many.

    Where a record cannot be read nobody knows which those are: all stay, and that is told.
    """
    try:
        referenced = context.catalogue.referenced_blobs()
    except StorageError as error:
        context.warn(f"Warning: no files were deleted: {error}.")
        return 0
    context.catalogue.artefacts.keep(referenced)
    return context.blobs.collect(referenced)


def require_idle(context: Context, name: str) -> None:
    """Raise BusyError where the package is being optimised."""
    if job := context.catalogue.jobs.running(name):
        raise job.in_the_way()


def require_no_canary(context: Context, name: str) -> None:
    """Raise BusyError where the package has a canary."""
    for entry in context.catalogue.packages():
        if entry.canary_of == name:
            raise BusyError(f"{entry.name} is its canary", where=name, do="`tritonpm promote` or `abort` it first")
