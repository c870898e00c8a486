"""`kill -9` of the page in the middle of what it does: nothing half is there, and the next page goes on."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.support.command import started
from tests.support.models import scaled
from tests.support.page import API, zipped
from tests.support.workspaces import opened
from tritonpm.operations.init import init
from tritonpm.operations.local_repository import changing
from tritonpm.operations.verify import verify

KILLS = int(os.environ.get("TRITONPM_KILLS", "4"))


def busy(url: str, packages: list[Path], stop: threading.Event) -> None:
    """Hand packages in, change them and take them away, until the page is gone."""
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.Client(base_url=url + API[1:], trust_env=False, timeout=60) as page,
    ):
        while not stop.is_set():
            for package in packages:
                page.post("/packages", params={"filename": package.name}, content=package.read_bytes())
            for package in packages:
                page.patch(f"/packages/{package.stem}/settings", json={"changes": {"priority": random.randint(1, 2)}})
                page.delete(f"/packages/{package.stem}")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_what_a_killed_page_was_doing_is_done_or_not(tmp_path: Path) -> None:
    root, seed = tmp_path / "workspace", random.randrange(1 << 32)
    init(root)
    packages = [zipped(tmp_path / f"p{number}", scaled(float(number)), f"p{number}") for number in (2, 3, 4)]
    moments = random.Random(seed)
    for _ in range(KILLS):
        with started("ui", "--port", 0, "-w", root) as (page, url):
            stop = threading.Event()
            clients = [threading.Thread(target=busy, args=(url, packages[at:], stop)) for at in range(2)]
            for client in clients:
                client.start()
            time.sleep(moments.uniform(0.1, 2))
            page.kill()
            stop.set()
            for client in clients:
                client.join()
        context = opened(root)
        assert context.catalogue.unreadable() == []
        assert verify(context) == [], seed
        with changing(context, "sweep"):  # as whatever changes something next
            pass
        context.catalogue.close()
        assert list((root / ".tritonpm/staging").iterdir()) == [], seed
    print(f"\n{KILLS} kills of the page, nothing lost")
