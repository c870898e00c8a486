"""What all tests share: an embedded server on a repository of its own, gone at the end whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tritonpm.triton import embedded


@dataclass(frozen=True)
class Running:
    """A server, the repository it reads and its state folder."""

    server: embedded.Server
    repository: Path
    state: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server on an empty repository, in a path with a blank."""
    root = tmp_path_factory.mktemp("a server")
    (root / "models").mkdir()
    server = embedded.start(embedded.find(), root / "models", root / "state")
    try:
        yield Running(server, root / "models", root / "state")
    finally:
        embedded.stop(server, root / "state", timeout=15)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast ones first: those that need a server come last."""
    items.sort(key=lambda item: item.get_closest_marker("server") is not None)
