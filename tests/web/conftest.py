"""A page that really runs, on a workspace of its own; with a Triton where a test asks for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.test_optimising import single
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving
from tritonpm.web.running import Page
from tritonpm.web.security import Access, access

API = "/api/v1"
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
        deadline = time.monotonic() + DEADLINE
        while operation["state"] == "running":
            assert time.monotonic() < deadline, operation
            time.sleep(0.05)
            operation = self.get(f"/operations/{operation['id']}")
        return operation

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


Start = Callable[..., Site]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts pages, each on a workspace of its own unless one is named."""
    with ExitStack() as running:

        def started(allowed: Access | None = None, root: Path | None = None, **options: Any) -> Site:
            root = root or tmp_path_factory.mktemp("a workspace")
            init(root)
            page = Page(root, None, "127.0.0.1", 0, allowed or access("127.0.0.1"))
            running.enter_context(page.running())
            client = httpx.Client(base_url=page.url, timeout=30, trust_env=False, **options)
            return Site(root, page.url, running.enter_context(client))

        yield started


@pytest.fixture(scope="module")
def site(start: Start) -> Site:
    """A page without a Triton."""
    return start()


@pytest.fixture(scope="module")
def live(start: Start) -> Iterator[Site]:
    """A page whose workspace runs a Triton."""
    found = start()
    serving = Serving(Manager.open(found.root))
    serving.serve(None, detach=True, timeout=60, standard_ports=False)
    yield found
    serving.stop(15)
