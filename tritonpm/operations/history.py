"""What was published of a package: listed, compared, forgotten. Every revision is immutable; one is current."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError
from tritonpm.core.types import RepositoryFile, Revision
from tritonpm.operations import views

if TYPE_CHECKING:
    from tritonpm.catalogue import Published
    from tritonpm.operations.manager import Manager


def listed(manager: Manager, name: str) -> list[views.RevisionView]:
    """The revisions that are kept, the newest first. Raises NotFoundError."""
    return [_view(each) for each in manager.catalogue.history(name)]


def _view(each: Published) -> views.RevisionView:
    published = datetime.fromtimestamp(each.published).astimezone().isoformat(timespec="seconds")
    number, digest = each.number, each.revision.digest
    if each.source is None:
        return views.RevisionView(number, "", "", "", 0, "", published, digest, each.current)
    package, settings = each.source.package, each.source.settings
    s = views.summary(package, settings)
    return views.RevisionView(
        number, package.version, s.mode, s.device, s.max_batch_size, s.precision, published, digest, each.current
    )


def differences(manager: Manager, name: str, one: int, other: int | None) -> Iterator[str]:
    """Two revisions, configs line by line and files by their digests. Raises NotFoundError."""
    history = manager.catalogue.history(name)
    wanted = other or next((each.number for each in history if each.current), 0)
    before, after = (_files(_numbered(name, history, number)) for number in (one, wanted))
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            lines = (_lines(old), _lines(new), f"{one}/{path}", f"{wanted}/{path}")
            yield from difflib.unified_diff(*lines, lineterm="")


def _numbered(name: str, history: list[Published], number: int) -> Revision:
    for each in history:
        if each.number == number:
            return each.revision
    raise NotFoundError(f"{name} has no revision {number}", do=f"`tritonpm history {name}` lists them")


def _files(revision: Revision) -> dict[str, RepositoryFile]:
    """By path; a member's folder goes by its stage, since its name holds the digest of its content."""
    found = {}
    for model in revision.models:
        stage = model.name.rpartition(".")[0].rpartition(".")[2]
        for file in model.files:
            found[f"{stage or revision.name}/{file.path}"] = file
    return found


def _lines(file: RepositoryFile | None) -> list[str]:
    if file is None:
        return []
    return file.text.splitlines() if file.text is not None else [str(file.blob)]


def prune(manager: Manager, name: str, keep: int) -> tuple[list[int], int]:
    """Forget all but the newest revisions and the current one, and the blobs that only they need: (which, how many)."""
    with manager.changing(f"prune {name}"):
        manager.require_unleased(name)
        gone = manager.catalogue.prune(name, keep)
        return gone, manager.collect()
