"""A page that runs, and a client of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.packages import single
from tests.support.waiting import PATIENCE, until

API = "/api/v1"
TOKEN = "a token that is long enough"

DEADLINE = 60.0  # seconds, for what the page does in the background


@dataclass(frozen=True)
class Site:
    """A page that runs: its workspace, and a client of it."""

    root: Path
    url: str
    http: httpx.Client

    def get(self, path: str, **options: Any) -> Any:
        """What the API answers, which must be good."""
        return good(self.http.get(API + path, **options))

    def post(self, path: str, body: object = None, **options: Any) -> Any:
        """What the API answers to a change, which must be good."""
        return good(self.http.post(API + path, json=body, **options))

    def ended(self, operation: dict[str, Any]) -> dict[str, Any]:
        """The operation once it has ended, well or not."""
        path = f"/operations/{operation['id']}"
        if operation["state"] != "running":
            return operation
        return until(lambda: now if (now := self.get(path))["state"] != "running" else None, operation)

    def done(self, operation: dict[str, Any]) -> str:
        """What an operation came to, which must be good."""
        ended = self.ended(operation)
        assert ended["state"] == "done", ended
        return str(ended["result"])

    def refused(self, operation: dict[str, Any]) -> dict[str, Any]:
        """Why an operation failed."""
        ended = self.ended(operation)
        assert ended["state"] == "failed", ended
        return dict(ended["problem"])

    def upload(self, file: Path, path: str = "/packages", **query: object) -> dict[str, Any]:
        """Hand a file in."""
        params = {"filename": file.name, **query}
        return dict(good(self.http.post(API + path, params=params, content=file.read_bytes())))


def good(response: httpx.Response) -> Any:
    """The body of a response that must be good."""
    assert response.is_success, response.text
    return response.json() if response.content else None


def zipped(folder: Path, model: bytes, name: str) -> Path:
    """A package of one stage as a .zip."""
    import shutil

    return Path(shutil.make_archive(str(folder), "zip", single(folder, model, name)))


@contextmanager
def listening(site: Site, query: str = "") -> Iterator[list[str]]:
    """The lines of the stream of events, as they come, from when it has begun."""
    heard: list[str] = []
    begun, stop = threading.Event(), threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"{site.url}api/v1/events{query}", timeout=PATIENCE, trust_env=False) as stream:
            for line in stream.iter_lines():
                heard.append(line)
                begun.set()
                if stop.is_set():
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        assert begun.wait(PATIENCE)
        yield heard
    finally:
        stop.set()
        thread.join(PATIENCE)  # the stream says at least every 15 seconds that it lives
        assert not thread.is_alive()


Start = Callable[..., Site]
