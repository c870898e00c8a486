"""A page that really runs, on a workspace of its own; with a Triton where a test asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import DEADLINE, chromium
from tests.support.page import Site, Start
from tests.support.waiting import PATIENCE
from tests.support.workspaces import QUICKLY, opened
from tritonpm.operations.init import init
from tritonpm.operations.serve import serve
from tritonpm.operations.stop import stop
from tritonpm.web.running import Page
from tritonpm.web.security import PageAccess, access


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; what is expected of its pages may take as long as a busy machine takes."""
    expect.set_options(timeout=DEADLINE)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts pages, each on a workspace of its own unless one is named."""
    with ExitStack() as running:

        def started(allowed: PageAccess | None = None, root: Path | None = None, **options: Any) -> Site:
            root = root or tmp_path_factory.mktemp("a workspace")
            init(root)
            page = Page(root, None, "127.0.0.1", 0, allowed or access("127.0.0.1"))
            running.enter_context(page.running())
            anew = httpx.Limits(max_keepalive_connections=0)  # an idle one may just be closed, on a loaded machine
            client = httpx.Client(base_url=page.url, timeout=PATIENCE, limits=anew, trust_env=False, **options)
            return Site(root, page.url, running.enter_context(client))

        yield started


@pytest.fixture(scope="module")
def site(start: Start) -> Site:
    """A page without a Triton."""
    return start()


@pytest.fixture(scope="module")
def live(start: Start) -> Iterator[Site]:
    """A page whose workspace runs a Triton."""
    site = start()
    context = opened(site.root)
    serve(context, None, **QUICKLY)
    yield site
    stop(context, 15)
