"""Packages on web servers: pulled only, the digest told beforehand. Credentials are those of ~/.netrc (or NETRC)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tritonpm.core.errors import UsageError
from tritonpm.registry import BESIDE, Pushed, file_name, shown
from tritonpm.registry.transfer import DownloadTask, Part, Source, download, fetch_beside
from tritonpm.registry.web import Session, part_of, speaking

_LOGIN = "give them in ~/.netrc"


def fetch(url: str, folder: Path, task: DownloadTask) -> Path:
    """The file at `url`. Raises UsageError without a digest, RegistryError, NotFoundError."""
    where = shown(url)
    if not task.digest:
        raise UsageError("what comes from https:// needs a digest", where=where, do="give --digest sha256:…")
    parts = urlsplit(url)
    with Session(task.bounds.silence) as session:
        target = folder / file_name(url)
        for kind in BESIDE:
            there = parts._replace(path=parts.path + kind).geturl()
            fetch_beside(_source(session, there), target, kind, where, task)
        return download(_source(session, url), target, where, task)


def push(file: Path, url: str, *, force: bool = False) -> Pushed:
    """Web servers are only read from. Raises UsageError."""
    raise UsageError("https:// can only be pulled from", where=shown(url), do="push to oci://, s3:// or a folder")


def _source(session: Session, url: str) -> Source:
    where = shown(url)

    @contextmanager
    def open_from(start: int) -> Iterator[Part]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        with speaking(where):
            answer = session.get(url, headers=headers, stream=True)
        with answer:
            yield part_of(answer, start, where, _LOGIN)

    return open_from
