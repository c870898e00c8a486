"""An object store, or a folder that is treated as one: listed, read, written whole; what goes wrong is one sentence.

Credentials come from the environment, by the names that the store's own tools read; nothing of them is ever printed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tritonpm.core.errors import StorageError
from tritonpm.core.extras import needed
from tritonpm.core.files import sync
from tritonpm.core.object_stores import UNREACHABLE, fault_of
from tritonpm.core.plugins import STORES, loaded, plugins
from tritonpm.core.units import GIB, MIB
from tritonpm.repository.location import Location

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Config

A = TypeVar("A")
T = TypeVar("T")
RETRIES, PATIENCE = 8, timedelta(seconds=60)  # of one request: how often, and for how long
PARALLEL = 8  # requests at once
_CONNECT, _ANSWER = timedelta(seconds=10), timedelta(minutes=2)  # of one request, a part of a large file included
_PARTS_AT_ONCE, _PART, _MOST_PARTS = 4, 8 * MIB, 9_000  # of a large file; S3 takes 10,000 parts
_COPYABLE = 5 * GIB  # bytes that a store copies in one request
RECORDS = ".tritonpm"  # after the repository's prefix: beside it, since Triton takes every folder in it for a model


@dataclass(frozen=True)
class Listed:
    """An object in a listing: its size in bytes, and when the store says that it was written."""

    size: int
    modified: datetime


class Store:
    """The objects of one location. Paths are relative to the repository; records lie beside it.

    Raises RequirementError where the library for stores is not installed, StorageError where it cannot be opened.
    """

    def __init__(self, location: Location, *, retries: int = RETRIES, patience: timedelta = PATIENCE) -> None:
        self.location = location
        self._root = Path(location.bucket) if location.scheme == "file" else None
        with needed("a repository elsewhere", "stores"):
            import obstore  # noqa: F401  # before its exceptions are named
        with self._plainly():
            self._store = _opened(location, retries, patience)

    @property
    def url(self) -> str:
        """As Triton takes it."""
        return self.location.url

    def listed(self, folder: str, *, records: bool = False, most: int | None = None) -> dict[str, Listed]:
        """Everything under a folder, by path. Raises StorageError, also where that is more than `most` objects."""
        import obstore

        base, found = self._key("", records), {}
        with self._plainly():
            for page in obstore.list(self._store, prefix=self._key(f"{folder}/" if folder else "", records)):
                for one in page:
                    if one["path"].startswith(base):
                        found[one["path"].removeprefix(base)] = Listed(one["size"], one["last_modified"])
                if most is not None and len(found) > most:
                    raise StorageError(f"holds more than {most:,} objects", where=self.url, do="name a smaller folder")
        return found

    def read(self, path: str, *, records: bool = False) -> bytes | None:
        """A small object; None where there is none. Raises StorageError."""
        import obstore

        with self._plainly():
            try:
                return obstore.get(self._store, self._key(path, records)).bytes().to_bytes()
            except FileNotFoundError as error:
                if fault_of(error):
                    raise
                return None

    def chunks(self, path: str, size: int) -> Iterator[bytes]:
        """An object that was listed with that size, in pieces. Raises StorageError, also where it has changed."""
        import obstore

        left = size
        with self._plainly():
            try:
                for chunk in obstore.get(self._store, self._key(path)).stream():
                    left -= len(chunk)
                    if left < 0:
                        break
                    yield bytes(chunk)
            except FileNotFoundError as error:
                if fault_of(error):
                    raise
                left = -1
        if left:
            raise StorageError(f"{path!r} has changed meanwhile", where=self.url, do="run it again when it is complete")

    def write(self, path: str, content: bytes, *, records: bool = False) -> None:
        """A small object, in one request: whoever reads sees the old one or the new one. Raises StorageError."""
        import obstore

        with self._plainly():
            obstore.put(self._store, self._key(path, records), content, use_multipart=False)
            self._to_disk(path, records)

    def upload(self, path: str, file: Path, size: int) -> None:
        """A file, a large one in parts; nobody sees it before all of it is there. Raises StorageError."""
        import obstore

        part = max(_PART, -(-size // _MOST_PARTS))
        with self._plainly():
            obstore.put(self._store, self._key(path), file, chunk_size=part, max_concurrency=_PARTS_AT_ONCE)
            self._to_disk(path)

    def copy(self, source: str, path: str, size: int) -> bool:
        """Have the store copy an object; False where it cannot, or the source has gone. Raises StorageError."""
        import obstore

        if size > _COPYABLE:
            return False
        with self._plainly():
            try:
                obstore.copy(self._store, self._key(source), self._key(path))
            except FileNotFoundError as error:
                if fault_of(error):
                    raise
                return False
            self._to_disk(path)
        return True

    def delete(self, paths: Iterable[str], *, records: bool = False) -> None:
        """Delete objects; those that are gone already are none of our business. Raises StorageError."""
        for _ in side_by_side(lambda path: self._delete(self._key(path, records)), paths):
            pass

    def _delete(self, key: str) -> None:
        import obstore

        with self._plainly():
            try:
                obstore.delete(self._store, key)  # one a request: where one is missing, some stores refuse them all
            except FileNotFoundError as error:
                if fault_of(error):
                    raise

    def digest(self, path: str) -> str | None:
        """`sha256:<hex>` of an object's content, read from the store; None where there is none. Raises StorageError."""
        import obstore

        digest = hashlib.sha256()
        with self._plainly():
            try:
                for chunk in obstore.get(self._store, self._key(path)).stream():
                    digest.update(chunk)
            except FileNotFoundError as error:
                if fault_of(error):
                    raise
                return None
        return f"sha256:{digest.hexdigest()}"

    def _key(self, path: str, records: bool = False) -> str:
        return f"{self.location.prefix}{RECORDS if records else ''}/{path}".lstrip("/")

    def _to_disk(self, path: str, records: bool = False) -> None:
        """Where the store is a folder: a power cut takes nothing back."""
        if self._root is not None:
            place = self._root / self._key(path, records)
            sync(place)
            sync(place.parent)

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """What the library raises, as a StorageError of one sentence."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            fault = fault_of(error) or UNREACHABLE
            raise StorageError(fault.what, where=self.url, do=fault.do) from None


def side_by_side(work: Callable[[A], T], items: Iterable[A]) -> Iterator[T]:
    """Run `work` on each item, a bounded number at once, and yield what comes of it; the first failure ends it."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(PARALLEL) as threads:
        running = [threads.submit(work, item) for item in items]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _opened(location: Location, retries: int, patience: timedelta) -> ObjectStore:
    from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

    if location.scheme == "file":
        return LocalStore(location.bucket, automatic_cleanup=True, mkdir=True)  # no empty folders are left
    if foreign := plugins(STORES).get(location.scheme):
        return cast("ObjectStore", loaded(foreign)(location))
    options: dict[str, Any] = {
        "client_options": {"connect_timeout": _CONNECT, "timeout": _ANSWER, "allow_http": "http:" in location.endpoint},
        "retry_config": {"max_retries": retries, "retry_timeout": patience},
    }
    if location.scheme == "gs":
        return GCSStore(location.bucket, **options)
    if location.scheme == "as":
        return AzureStore(location.bucket, account_name=location.account, **options)
    config: S3Config = {
        "checksum_algorithm": "SHA256",
        **({"endpoint": location.endpoint} if location.endpoint else {}),
    }
    return S3Store(location.bucket, config=config, **options)
