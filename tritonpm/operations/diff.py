"""`tritonpm diff`: two revisions of a package, compared."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tritonpm.core.types import Package, RepositoryFile, Revision
from tritonpm.core.units import human
from tritonpm.operations.history import as_it_was
from tritonpm.repository.member_names import stage_of

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings


def differences(context: Context, name: str, one: int, other: int | None) -> Iterator[str]:
    """Two revisions, configs line by line and files by their digests. Raises NotFoundError."""
    catalogue = context.catalogue
    wanted = other or next((kept.number for kept in catalogue.history(name) if kept.current), 0)
    before, after = (_files(catalogue.kept(name, number).revision, name) for number in (one, wanted))
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            lines = (_lines(old), _lines(new), f"{one}/{path}", f"{wanted}/{path}")
            yield from difflib.unified_diff(*lines, lineterm="")


@dataclass(frozen=True)
class RevisionDifference:
    """What two revisions have apart: `what` is version, a setting or a file, `stage` is "" for the package's own."""

    what: str
    stage: str
    before: str
    after: str


def compared(context: Context, name: str, one: int, other: int | None) -> tuple[RevisionDifference, ...]:
    """What was changed between two revisions: version, settings, the files of the content. Raises NotFoundError."""
    current = next((kept.number for kept in context.catalogue.history(name) if kept.current), 0)
    return between(as_it_was(context, name, one), as_it_was(context, name, other or current))


def between(before: Record, after: Record) -> tuple[RevisionDifference, ...]:
    """What differs between two contents with their settings."""
    first, then = before.package, after.package
    version = [RevisionDifference("version", "", first.version, then.version)] if first.version != then.version else []
    own = {stage for record in (before, after) for stage in record.settings.stages}
    settings = [
        RevisionDifference(field.name, stage, _plain(value), _plain(more))
        for stage in ("", *sorted(own))
        for field in fields(before.settings)
        if field.name != "stages"
        and (value := getattr(_of(before, stage), field.name)) != (more := getattr(_of(after, stage), field.name))
        and (not stage or any(field.name in record.settings.stages.get(stage, {}) for record in (before, after)))
    ]
    old, new = _contents(first), _contents(then)
    paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    files = [RevisionDifference(path, "", old.get(path, ""), new.get(path, "")) for path in paths]
    return (*version, *settings, *files)


def _contents(package: Package) -> dict[str, str]:
    """Of each file its size and the beginning of its digest."""
    return {file.path: f"{human(file.size)} ({file.digest.partition(':')[2][:8]})" for file in package.files}


def _of(record: Record, stage: str) -> Settings:
    return record.settings.for_stage(stage) if stage else record.settings


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _files(revision: Revision, package: str) -> dict[str, RepositoryFile]:
    """By path; a member's folder goes by its stage, since its name holds the digest of its content, all others by the
    package's name, which may have been another then.
    """
    files = {}
    for model in revision.models:
        folder = stage_of(model.name) or package
        for file in model.files:
            files[f"{folder}/{file.path}"] = file
    return files


def _lines(file: RepositoryFile | None) -> list[str]:
    if file is None:
        return []
    return file.text.splitlines() if file.text is not None else [str(file.blob)]
