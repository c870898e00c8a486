"""`tritonpm verify` and `doctor --fix`: the repository's files and the blobs against what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import is_held, lock
from tritonpm.catalogue import rebuild as rebuilt
from tritonpm.core.errors import StorageError
from tritonpm.core.files import digest_of
from tritonpm.core.types import RepositoryFile, Revision
from tritonpm.operations.audit import audited
from tritonpm.operations.local_repository import changing, settle

if TYPE_CHECKING:
    from tritonpm.catalogue import Rebuilt, Workspace
    from tritonpm.operations.context import Context, Warn


@dataclass(frozen=True)
class Damage:
    """Something that is not what the catalogue says. `kind` is record, blob, file, orphan or foreign."""

    kind: str
    name: str
    sentence: str
    mendable: bool


def verify(context: Context) -> list[Damage]:
    """Every file that is not what its revision says, every blob whose bits have changed, and what nobody owns.

    What somebody is changing meanwhile is no damage: a rehearsal belongs to no revision that is current yet.
    """
    moving = _moving(context)
    damages = _look(context)
    if damages:  # a change may have begun after the first look at the journal, and ended before the second one
        moving |= _moving(context)
        again = set(_look(context))
        damages = [damage for damage in damages if damage in again and damage.name.partition("/")[0] not in moving]
    return damages


def _moving(context: Context) -> set[str]:
    """The models that a change has to do with which is going on; what a killed one left behind is not among them."""
    intents = context.catalogue.open_intents() if is_held(context.workspace) else ()
    return {model for _, _, models in intents for model in models}


def _look(context: Context) -> list[Damage]:
    from tritonpm.repository.publish import is_ours

    published = list(context.catalogue.published())
    digests = sorted(context.catalogue.referenced_blobs(lenient=True))
    rotten = {digest: reason for digest in digests if (reason := _rotten(context, digest))}
    unreadable = context.catalogue.unreadable()
    damages = [Damage("record", name, why, mendable=False) for name, why in unreadable]
    damages += [Damage("blob", digest, reason, mendable=False) for digest, reason in rotten.items()]
    for revision in published:
        damages += _of_revision(context, revision, set(rotten))
    owned = {model.name for revision in published for model in revision.models}
    for folder in _folders(context.workspace.repository):
        if folder.name not in owned and folder.is_dir():
            ours = is_ours(folder, context.blobs.path)
            if ours and unreadable:
                continue  # it may be of what cannot be read
            sentence = "belongs to no package" if ours else "was not made by tritonpm, and is left alone"
            damages.append(Damage("orphan" if ours else "foreign", folder.name, sentence, mendable=ours))
    return damages


@audited("verify mend")
def mend(context: Context) -> tuple[list[Damage], list[Damage]]:
    """Make the repository what the catalogue says, from the blobs; (what was mended, what could not be).

    Rotten blobs are set aside, so that importing their package again heals it. Foreign folders are never touched.
    """
    with changing(context, "doctor"):
        damages = _look(context)
        for damage in damages:
            if damage.kind == "blob":
                context.blobs.drop(damage.name)
        mendable = [d for d in damages if d.kind in ("file", "orphan") and d.mendable]
        if folders := tuple(sorted({damage.name.partition("/")[0] for damage in mendable})):
            with context.catalogue.intent("mend", folders):
                settle(context, folders, anew=True)
    return [d for d in damages if d.mendable], [d for d in damages if not d.mendable]


def rebuild(workspace: Workspace, warn: Warn) -> Rebuilt:
    """Make a corrupt catalogue anew from its records. Raises StorageError; the old one is where it was."""
    with lock(workspace, "doctor", waiting=warn):
        return rebuilt(workspace)


def _folders(repository: Path) -> list[Path]:
    try:
        return sorted(repository.iterdir())
    except FileNotFoundError:  # then every file is missing, and comes back
        return []
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise StorageError(what, where=str(repository), do="move it away and run `tritonpm doctor --fix`") from None


def _rotten(context: Context, digest: str) -> str:
    try:
        context.blobs.verify(digest)
    except StorageError as error:
        return error.what
    return ""


def _of_revision(context: Context, revision: Revision, rotten: set[str]) -> Iterator[Damage]:
    for model in revision.models:
        for file in model.files:
            if reason := _apart(context.workspace.repository / model.name / file.path, file):
                yield Damage("file", f"{model.name}/{file.path}", reason, mendable=file.blob not in rotten)


def _apart(place: Path, file: RepositoryFile) -> str:
    if not place.is_file():
        return "is missing"
    if file.blob is not None:
        return "" if digest_of(place) == file.blob else "is not the model of its revision"
    same = place.read_text(encoding="utf-8", errors="replace") == (file.text or "")
    return "" if same else "was edited"
