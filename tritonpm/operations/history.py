"""`tritonpm history`, `diff`, `prune`: what was published of a package, listed, compared, forgotten.

Every revision is immutable; one is current, and those that served stand in the order in which a roll-back goes back.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tritonpm.core.types import RepositoryFile, Revision
from tritonpm.operations.local_repository import changing, collect
from tritonpm.operations.summary import precision
from tritonpm.operations.usage import require_unleased
from tritonpm.repository.render import max_batch_size

if TYPE_CHECKING:
    from tritonpm.catalogue import Published
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class RevisionView:
    """A revision that is kept: what it was made of, and whether it is the current one.

    `served`: how many roll-backs away it is, 0 for what was proved last; None where it never served, or is not gone
    back to.
    """

    number: int
    version: str
    mode: str
    device: str
    max_batch_size: int
    precision: str
    published: str
    digest: str
    current: bool
    served: int | None = None


def history(context: Context, name: str) -> list[RevisionView]:
    """The revisions that are kept, the newest first. Raises NotFoundError."""
    steps = {number: step for step, number in reversed(list(enumerate(context.catalogue.served(name))))}
    return [_view(kept, steps.get(kept.number)) for kept in context.catalogue.history(name)]


def _view(kept: Published, served: int | None) -> RevisionView:
    published = datetime.fromtimestamp(kept.published).astimezone().isoformat(timespec="seconds")
    number, digest = kept.number, kept.revision.digest
    if kept.source is None:
        return RevisionView(number, "", "", "", 0, "", published, digest, kept.current, served)
    package, settings = kept.source.package, kept.source.settings
    return RevisionView(
        number, package.version, settings.mode, settings.device, max_batch_size(kept.revision),
        precision(package, settings), published, digest, kept.current, served,
    )  # fmt: skip


def differences(context: Context, name: str, one: int, other: int | None) -> Iterator[str]:
    """Two revisions, configs line by line and files by their digests. Raises NotFoundError."""
    catalogue = context.catalogue
    wanted = other or next((kept.number for kept in catalogue.history(name) if kept.current), 0)
    before, after = (_files(catalogue.kept(name, number).revision) for number in (one, wanted))
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            lines = (_lines(old), _lines(new), f"{one}/{path}", f"{wanted}/{path}")
            yield from difflib.unified_diff(*lines, lineterm="")


def _files(revision: Revision) -> dict[str, RepositoryFile]:
    """By path; a member's folder goes by its stage, since its name holds the digest of its content."""
    files = {}
    for model in revision.models:
        stage = model.name.rpartition(".")[0].rpartition(".")[2]
        for file in model.files:
            files[f"{stage or revision.name}/{file.path}"] = file
    return files


def _lines(file: RepositoryFile | None) -> list[str]:
    if file is None:
        return []
    return file.text.splitlines() if file.text is not None else [str(file.blob)]


def prune(context: Context, name: str, keep: int) -> tuple[list[int], int]:
    """Forget all but the newest revisions and the current one, and the blobs that only they need: (which, how many)."""
    with changing(context, f"prune {name}"):
        require_unleased(context, name)
        gone = context.catalogue.prune(name, keep)
        return gone, collect(
            context,
        )
