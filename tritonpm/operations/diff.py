"""`tritonpm diff`: two revisions of a package, compared."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tritonpm.core.types import RepositoryFile, Revision

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


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
