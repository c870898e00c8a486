"""Packages in object stores: `s3://bucket/bolts.zip`, `gs://bucket/bolts.zip`, `az://container/bolts.zip`.

Credentials are the environment's, by the names of each cloud's own tools (AWS_*, GOOGLE_*, AZURE_*). The words of a
store's errors go unsaid: they may hold a signed address.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import from_url

from tritonpm.core.errors import NotFoundError, RegistryError
from tritonpm.core.files import digest_of
from tritonpm.core.object_stores import UNREACHABLE, fault_of
from tritonpm.registry import BESIDE, Pushed, beside, file_name, shown
from tritonpm.registry.transfer import (
    CHUNK,
    Bounds,
    Cut,
    DownloadTask,
    Part,
    Source,
    download,
    fetch_beside,
    settled,
)

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

_RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_ENDPOINT", "GOOGLE_BASE_URL")
_DIGEST = "tritonpm-sha256"  # of an object's metadata


def fetch(url: str, folder: Path, task: DownloadTask) -> Path:
    """The object at `url`. Raises RegistryError, NotFoundError."""
    store, key = _store(url, task.bounds)
    target = folder / file_name(url)
    for kind in BESIDE:
        fetch_beside(_source(store, key + kind, url), target, kind, shown(url), task)
    return download(_source(store, key, url), target, shown(url), task)


def push(file: Path, url: str, *, force: bool = False) -> Pushed:
    """Put a file, what lies beside it first. Raises RegistryError where something else is there."""
    store, key = _store(url, Bounds())
    digest = digest_of(file)
    with settled(shown(url)), _speaking(url):
        if not force and _digest_there(store, key) not in ("", digest):
            raise RegistryError("something else is there", where=shown(url), do="choose another name, or use --force")
        for kind in BESIDE:
            if beside(file, kind).is_file():
                obstore.put(store, key + kind, beside(file, kind))
            else:
                obstore.delete(store, key + kind)
        obstore.put(store, key, file, attributes={_DIGEST: digest})
    return Pushed.of(url, digest, file)


def _digest_there(store: ObjectStore, key: str) -> str:
    """The digest of the object that is there: "" where there is none, "?" where it does not say."""
    try:
        attributes = obstore.get(store, key, options={"head": True}).attributes
    except FileNotFoundError:
        return ""
    return str(attributes.get(_DIGEST, "?"))


def _store(url: str, bounds: Bounds) -> tuple[ObjectStore, str]:
    """The bucket and the key in it. Raises RegistryError where it cannot be addressed."""
    from tritonpm.registry.web import require_encrypted

    parts = urlsplit(url)
    for name in _ENDPOINTS:
        if endpoint := os.environ.get(name):
            require_encrypted(endpoint, f"{name}: ")
    options = {"allow_http": True, "connect_timeout": timedelta(seconds=10), "timeout": timedelta(hours=6)}
    options["read_timeout"] = timedelta(seconds=bounds.silence)
    with _speaking(url):
        store = from_url(f"{parts.scheme}://{parts.netloc}", client_options=options, retry_config=_RETRIES)  # type: ignore[call-overload]
    return store, parts.path.lstrip("/")


def _source(store: ObjectStore, key: str, url: str) -> Source:
    only: GetOptions = {}  # the version that the first part was of

    @contextmanager
    def open_from(start: int) -> Iterator[Part]:
        with _speaking(url):
            if start:
                size = obstore.head(store, key)["size"]
                if start >= size:
                    yield Part(start, None, iter(()))
                    return
            answer = obstore.get(store, key, options={**only, "range": {"offset": start}})
            if tag := answer.meta["e_tag"]:
                only["if_match"] = tag
            chunks = (bytes(chunk) for chunk in answer.stream(CHUNK))
            yield Part(answer.range[0], answer.meta["size"], chunks)

    return open_from


@contextmanager
def _speaking(url: str) -> Iterator[None]:
    where = shown(url)
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError("there is no such object", where=where, do="check the address") from None
    except exceptions.PreconditionError:
        raise RegistryError("changed while it was being fetched", where=where, do="run it again") from None
    except exceptions.BaseError as error:
        fault = fault_of(error) or UNREACHABLE
        if fault.passing:
            raise Cut(fault.what) from None
        raise RegistryError(fault.what, where=where, do=fault.do) from None
