"""A revision into a store: what is missing is sent, side by side; then members' configs; the public config last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tritonpm.core.errors import StorageError
from tritonpm.core.files import digest_of_bytes
from tritonpm.core.types import REVISION, RepositoryFile, Revision
from tritonpm.repository import records
from tritonpm.repository.immutable import immutable, is_config
from tritonpm.repository.records import StoredFile, StoredRevision
from tritonpm.repository.render import CONFIG
from tritonpm.repository.store import Listed, Store, side_by_side

Report = Callable[[int, int], None]
_PAUSES = (0.0, 0.2, 1.0, 3.0, 10.0)  # seconds before each look at a listing that does not show what was sent


class ModelFiles(Protocol):
    """Where model files lie, by digest."""

    def path(self, digest: str) -> Path:
        """A file; its bits may have changed."""

    def verify(self, digest: str) -> Path:
        """A file whose bits are those of its digest. Raises StorageError."""


@dataclass(frozen=True)
class Sent:
    """What a publish came to: objects that were sent, that the store copied, that were there; bytes that were sent."""

    sent: int = 0
    copied: int = 0
    there: int = 0
    bytes: int = 0


def send(
    store: Store, revision: Revision, blobs: ModelFiles, report: Report = lambda done, total: None, *, anew: bool
) -> Sent:
    """Bring a revision into a store; `blobs` are its model files. Raises StorageError.

    Whatever cuts it, Triton loads the old revision whole or the new one, and another run sends only what is missing.
    With `anew` all of it is sent, as if nothing were there.
    """
    revision = immutable(revision)
    sending = _Sending(store, revision, blobs, report)
    sending.require_ours()
    records.write(store, sending.record)  # before anything of it is there: what is there is always accounted for
    sending.reserve()
    sent = sending.send_files(anew)
    sending.await_listed(sending.files)
    members = [file for file in sending.configs if not sending.is_public(file)]
    public = [file for file in sending.configs if sending.is_public(file)]
    changed = sending.send_configs(members, anew)
    sending.await_listed(members)
    changed += sending.send_configs([file for file in public if file != sending.record.switch], anew)
    changed += sending.send_configs([sending.record.switch], anew)
    there = len(sending.configs) - changed + sent.there
    return Sent(sent.sent + changed, sent.copied, there, sent.bytes)


def unpublished(name: str) -> bytes:
    """The config of a model of which nothing is to be loaded; without one Triton would guess its own."""
    return (
        f'# Nothing is published here at the moment.\nname: "{name}"\nbackend: "nothing-is-published-here"\n'.encode()
    )


def switches(store: Store, name: str) -> dict[str, bytes]:
    """The public model's configs as they are, by path. Raises StorageError."""
    paths = [path for path in store.listed(name) if is_config(path.removeprefix(f"{name}/"))]
    return {path: content for path in paths if (content := store.read(path)) is not None}


def put_back(store: Store, name: str, before: Mapping[str, bytes]) -> None:
    """Make the public model's configs what they were; none: nothing of it is to be loaded. Raises StorageError."""
    last = f"{name}/{CONFIG}"
    for path, content in before.items():
        if path != last:
            store.write(path, content)
    store.write(last, before.get(last, unpublished(name)))
    store.delete(switches(store, name).keys() - before.keys() - {last})


class _Sending:
    """One revision on its way into one store."""

    def __init__(self, store: Store, revision: Revision, blobs: ModelFiles, report: Report) -> None:
        self.store, self.blobs, self.report = store, blobs, report
        self.contents: dict[str, RepositoryFile] = {}
        files = []
        for model in revision.models:
            for file in sorted(model.files, key=lambda file: (is_config(file.path), file.path == CONFIG)):
                path = f"{model.name}/{file.path}"
                self.contents[path] = file
                files.append(self._stored(path, file))
        self.record = StoredRevision(records.FORM, revision.name, revision.digest, tuple(files))
        self.files = [file for file in files if not self._is_config(file)]
        self.configs = [file for file in files if self._is_config(file)]
        self.folders = [model.name for model in revision.models]
        self.earlier = [kept.record for kept in records.kept(store, revision.name).get(revision.name, [])]

    def is_public(self, file: StoredFile) -> bool:
        """Whether a file is of the model that clients name."""
        return file.path.startswith(f"{self.record.name}/")

    def require_ours(self) -> None:
        """Raise StorageError where the folder is somebody else's, or where a file would change under its readers."""
        name = self.record.name
        there = self.store.read(f"{name}/{CONFIG}")
        if there is not None and there != unpublished(name) and REVISION.encode() not in there:
            what = f"{name} in it is a model that tritonpm did not make"
            raise StorageError(what, where=self.store.url, do="choose another prefix, or rename the package")
        digests = {file.path: file.digest for file in self.files}
        for record in self.earlier:
            for file in record.files:
                if digests.get(file.path, file.digest) != file.digest:
                    what = f"{file.path} would change while it may be read, and its config cannot name it otherwise"
                    raise StorageError(what, where=self.store.url, do=f"rename {name}, or withdraw it (prune --keep 0)")

    def reserve(self) -> None:
        """Nobody loads a model of which only files are there: Triton would make a config of its own."""
        if self.store.read(f"{self.record.name}/{CONFIG}") is None:
            self.store.write(f"{self.record.name}/{CONFIG}", unpublished(self.record.name))

    def send_files(self, anew: bool) -> Sent:
        """Send what is missing, or have the store copy it from where it lies already."""
        there = self._listed()
        missing = [file for file in self.files if anew or not _is_there(file, there)]
        known = {} if anew else self._known(there)
        total, done, copies, copied = sum(file.size for file in missing), 0, 0, 0
        for size, was_copied in side_by_side(lambda file: self._send(file, known), missing):
            done, copies, copied = done + size, copies + was_copied, copied + (size if was_copied else 0)
            self.report(done, total)
        return Sent(len(missing) - copies, copies, len(self.files) - len(missing), total - copied)

    def send_configs(self, configs: Iterable[StoredFile], anew: bool) -> int:
        """Write those that are not there as they are to be; how many."""

        def write(file: StoredFile) -> bool:
            there = None if anew else self.store.read(file.path)
            if there is not None and digest_of_bytes(there) == file.digest:
                return False
            self.store.write(file.path, self._bytes(file))
            return True

        return sum(side_by_side(write, configs))

    def await_listed(self, files: list[StoredFile]) -> None:
        """Until the store lists them, as Triton is going to do. Raises StorageError where its listing stays stale."""
        for pause in _PAUSES:
            time.sleep(pause)
            there = self._listed()
            absent = [file.path for file in files if not _is_there(file, there)]
            if not absent:
                return
        what = f"its listing does not show {absent[0]}, which was sent"
        raise StorageError(what, where=self.store.url, do="run it again later; what served before keeps serving")

    def _is_config(self, file: StoredFile) -> bool:
        return is_config(file.path.partition("/")[2])

    def _stored(self, path: str, file: RepositoryFile) -> StoredFile:
        if file.blob is not None:
            return StoredFile(path, file.blob, self.blobs.path(file.blob).stat().st_size)
        content = (file.text or "").encode()
        return StoredFile(path, digest_of_bytes(content), len(content))

    def _listed(self) -> dict[str, Listed]:
        there: dict[str, Listed] = {}
        for listed in side_by_side(self.store.listed, self.folders):
            there |= listed
        return there

    def _known(self, there: dict[str, Listed]) -> dict[str, str]:
        """Where the content of earlier revisions lies, by digest."""
        files = (file for record in self.earlier for file in record.files)
        return {f.digest: f.path for f in files if not self._is_config(f) and _is_there(f, there)}

    def _send(self, file: StoredFile, known: dict[str, str]) -> tuple[int, bool]:
        """Bring one object there: its size, and whether the store copied it."""
        if file.digest in known and self.store.copy(known[file.digest], file.path, file.size):
            return file.size, True
        blob = self.contents[file.path].blob
        if blob is None:
            self.store.write(file.path, self._bytes(file))
        else:
            self.store.upload(file.path, self.blobs.verify(blob), file.size)
        return file.size, False

    def _bytes(self, file: StoredFile) -> bytes:
        return (self.contents[file.path].text or "").encode()


def _is_there(file: StoredFile, there: dict[str, Listed]) -> bool:
    """Whether an object is listed in its full size: its name says its content, and a store keeps none by halves."""
    return file.path in there and there[file.path].size == file.size
