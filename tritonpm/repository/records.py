"""What lies in a store, by its own account: for every revision a record, written before anything of it is sent.

The record of a revision names each of its objects with digest and size, so that whoever comes next knows what is
there, what is missing, what may go, and what was never ours. Which revision is current no record says: the public
model's config does, and it is written last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tritonpm.core.errors import StorageError
from tritonpm.core.files import digest_of_bytes
from tritonpm.core.types import RenderedModel, RepositoryFile, Revision
from tritonpm.repository.immutable import is_config
from tritonpm.repository.render import CONFIG

if TYPE_CHECKING:
    from tritonpm.repository.store import Store

FORM = "tritonpm/v1"
_SHOWN = 16  # hex digits of a revision in its record's name


@dataclass(frozen=True)
class StoredFile:
    """An object of a revision: its path in the repository, its content's `sha256:<hex>`, its size in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True)
class StoredRevision:
    """A revision of a package as it was sent: its objects, members' first, the public config last."""

    form: str
    name: str
    revision: str
    files: tuple[StoredFile, ...]

    @property
    def switch(self) -> StoredFile:
        """The object that makes this revision the current one."""
        return next(file for file in self.files if file.path == f"{self.name}/{CONFIG}")


@dataclass(frozen=True)
class Kept:
    """A record and when the store says that it was written; `current` where its config is the one that is there."""

    record: StoredRevision
    written: datetime
    current: bool

    @property
    def path(self) -> str:
        """The record's own, among the records."""
        return path_of(self.record)


def path_of(record: StoredRevision) -> str:
    """Where a record lies."""
    return f"{record.name}/{record.revision[:_SHOWN]}.json"


def write(store: Store, record: StoredRevision) -> None:
    """Keep a record. Raises StorageError."""
    import msgspec

    store.write(path_of(record), msgspec.json.format(msgspec.json.encode(record)), records=True)


def kept(store: Store, name: str = "") -> dict[str, list[Kept]]:
    """The records of every package, or of one, by its name; the newest first. Raises StorageError."""
    from tritonpm.repository.store import side_by_side

    listed = store.listed(name, records=True)
    paths = sorted(path for path in listed if path.endswith(".json"))
    names = sorted({path.partition("/")[0] for path in paths})
    current = dict(side_by_side(lambda package: (package, switch_of(store, package)), names))
    revisions: dict[str, list[Kept]] = {package: [] for package in names}
    for path, record in side_by_side(lambda path: (path, _read(store, path)), paths):
        if record is not None:
            is_current = record.switch.digest == current[record.name]
            revisions[record.name].append(Kept(record, listed[path].modified, is_current))
    for of_package in revisions.values():
        of_package.sort(key=lambda one: (one.written, one.record.revision), reverse=True)
    return revisions


def current_revision(store: Store, name: str) -> Revision | None:
    """The revision that is current in a store, by its record; None where none is. Raises StorageError.

    Of its configs only the public model's are told, which say which revision a server answers for.
    """
    record = next((one.record for one in kept(store, name).get(name, []) if one.current), None)
    if record is None:
        return None
    models: dict[str, list[RepositoryFile]] = {}
    for file in record.files:
        model, _, path = file.path.partition("/")
        content = store.read(file.path) if model == name and is_config(path) else None
        text = content.decode(errors="replace") if content is not None else None
        models.setdefault(model, []).append(RepositoryFile(path, blob=None if text else file.digest, text=text))
    return Revision(name, record.revision, tuple(RenderedModel(model, tuple(files)) for model, files in models.items()))


def switch_of(store: Store, name: str) -> str:
    """The digest of the config that is there; "" where there is none."""
    there = store.read(f"{name}/{CONFIG}")
    return digest_of_bytes(there) if there is not None else ""


def _read(store: Store, path: str) -> StoredRevision | None:
    """One record; None where it went in this moment. Raises StorageError where it is none."""
    import msgspec

    content = store.read(path, records=True)
    if content is None:
        return None
    try:
        record = msgspec.json.decode(content, type=StoredRevision)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # the second for what is not UTF-8
        what = f"its record {path} cannot be read ({error})"
        raise StorageError(what, where=store.url, do="publish the package again, or delete that record") from None
    if record.form != FORM or path_of(record) != path or not _is_sound(record):
        what = f"its record {path} is of another tritonpm"
        raise StorageError(what, where=store.url, do="use the version of tritonpm that wrote it, or a newer one")
    return record


def _is_sound(record: StoredRevision) -> bool:
    """Whether a record names a public config, and nothing outside the repository."""
    parts = (part for file in record.files for part in file.path.split("/"))
    return any(file.path == f"{record.name}/{CONFIG}" for file in record.files) and not {"", ".", ".."} & set(parts)
