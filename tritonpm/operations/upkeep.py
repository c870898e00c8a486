"""What is there against what is recorded: the repository's files, the blobs, and what the server serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue.blobs import digest_of
from tritonpm.core.errors import StorageError, TritonpmError
from tritonpm.core.types import RepositoryFile, Revision
from tritonpm.operations import views
from tritonpm.repository.config import REVISION
from tritonpm.repository.publish import is_ours
from tritonpm.triton.ensembles import inner, unneeded, users_of

if TYPE_CHECKING:
    from tritonpm.operations.manager import Manager
    from tritonpm.operations.serving import Serving
    from tritonpm.triton.client import Client


def damages(manager: Manager) -> list[views.Damage]:
    """Every file that is not what its revision says, every blob whose bits have changed, and what nobody owns."""
    published = list(manager.catalogue.published())
    bad = {digest: reason for digest in _blobs(manager) if (reason := _rotten(manager, digest))}
    found = [views.Damage("blob", digest, reason, mendable=False) for digest, reason in sorted(bad.items())]
    for revision in published:
        found += _of_revision(manager, revision, set(bad))
    owned = {model.name for revision in published for model in revision.models}
    for folder in sorted(manager.workspace.repository.iterdir()):
        if folder.name not in owned and folder.is_dir():
            ours = is_ours(folder, manager.blobs.path)
            said = "belongs to no package" if ours else "was not made by tritonpm, and is left alone"
            found.append(views.Damage("orphan" if ours else "foreign", folder.name, said, mendable=ours))
    return found


def mend(manager: Manager) -> tuple[list[views.Damage], list[views.Damage]]:
    """Make the repository what the catalogue says, from the blobs; (what was mended, what could not be).

    Rotten blobs are set aside, so that importing their package again heals it. Foreign folders are never touched.
    """
    with manager.changing("doctor"):
        found = damages(manager)
        for each in found:
            if each.kind == "blob":
                manager.blobs.drop(each.name)
        wanted = {each.name.partition("/")[0] for each in found if each.kind in ("file", "orphan") and each.mendable}
        if wanted:
            names = tuple(sorted(wanted))
            with manager.catalogue.intent("mend", names):
                manager.settle(names, anew=True)
    return [each for each in found if each.mendable], [each for each in found if not each.mendable]


def _blobs(manager: Manager) -> Iterator[str]:
    yield from sorted(manager.catalogue.referenced_blobs())


def _rotten(manager: Manager, digest: str) -> str:
    try:
        manager.blobs.verify(digest)
    except StorageError as error:
        return error.what
    return ""


def _of_revision(manager: Manager, revision: Revision, bad: set[str]) -> Iterator[views.Damage]:
    for model in revision.models:
        for file in model.files:
            place = manager.workspace.repository / model.name / file.path
            if reason := _apart(place, file):
                yield views.Damage("file", f"{model.name}/{file.path}", reason, mendable=file.blob not in bad)


def _apart(place: Path, file: RepositoryFile) -> str:
    if not place.is_file():
        return "is missing"
    if file.blob is not None:
        return "" if digest_of(place) == file.blob else "is not the model of its revision"
    same = place.read_text(encoding="utf-8", errors="replace") == (file.text or "")
    return "" if same else "was edited"


def drift(manager: Manager, client: Client) -> list[str]:
    """Where what the server serves is not what the catalogue says, one sentence each."""
    found = []
    states = client.serving()
    owners = {model.name: revision for revision in manager.catalogue.published() for model in revision.models}
    wanted = set(manager.catalogue.wanted())
    for entry in manager.catalogue.packages():
        revision = owners.get(entry.name)
        if entry.status == "loaded" and entry.name not in states:
            found.append(f"{entry.name} is recorded as loaded, and the server does not serve it")
        elif (
            entry.name in states
            and entry.status != "loaded"
            and not (entry.status == "failed" and entry.name in wanted)
        ):
            found.append(f"{entry.name} is served, and recorded as {entry.status}: somebody else loaded it")
        elif entry.name in states and revision and not serves(client, revision):
            found.append(f"{entry.name} is served in another revision than {entry.revision}, which is recorded")
    for name in sorted(states - owners.keys()):
        found.append(f"{name} is served, and is of no package here")
    return found


def serves(client: Client, revision: Revision) -> bool:
    """Whether the server answers for this very revision."""
    wanted = next(file.text or "" for file in revision.models[-1].files if file.path == "config.pbtxt")
    said = client.config(revision.name).get("parameters", {}).get(REVISION, {}).get("string_value", "")
    return bool(said) and said in wanted


def sync(serving: Serving) -> Iterator[tuple[str, str, str]]:
    """Make the server serve what the catalogue says: (what was done, package, why it could not be).

    Models of no package here are left alone; members and rehearsals that a broken change left behind are not,
    nor are their folders.
    """
    manager = serving.manager
    with serving.client() as client:
        states = client.serving()
        owners = {model.name: revision for revision in manager.catalogue.published() for model in revision.models}
        todo = []
        for entry in manager.catalogue.packages():
            wanted, there = manager.catalogue.get(entry.name).wanted, entry.name in states
            revision = owners.get(entry.name)
            if wanted and not (there and revision and serves(client, revision)):
                todo.append(("loaded", entry.name))
            elif there and not wanted:
                todo.append(("unloaded", entry.name))
    for done, name in todo:
        try:
            serving.load(name) if done == "loaded" else serving.unload(name, force=True)
        except TritonpmError as error:
            yield done, name, str(error)
        else:
            yield done, name, ""
    with serving.client() as client, manager.changing("sync"):
        for entry in manager.catalogue.packages():
            manager.tidy(entry.name)
        for name in unneeded(client, inner(client)):
            try:
                client.unload_and_wait(name)
            except TritonpmError as error:
                yield "tidied", name, str(error)
            else:
                yield "tidied", name, ""


def why(serving: Serving, name: str) -> list[str]:
    """What keeps a model loaded: one sentence each, [] where nothing does."""
    manager = serving.manager
    found = []
    found += [f"it is a member of the cascade {cascade}" for cascade in users_of(manager, name)]
    known = {entry.name: entry for entry in manager.catalogue.packages()}
    if name in known:
        record = manager.catalogue.get(name)
        if record.wanted:
            found.append("`tritonpm load` asked for it, and `serve` loads it again")
        found += [f"project {project} uses it" for project in manager.catalogue.leases.users().get(name, ())]
    found += [f"{each} use it" for each in serving.users(name) if each.startswith("clients")]
    with serving.client() as client:
        states = [state for state in client.index() if state.name == name and state.state == "READY"]
    if states and not found:
        found.append("nothing here: somebody else loaded it (`tritonpm sync` unloads what is of a package here)")
    return found
