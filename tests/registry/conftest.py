"""What the tests of registries share: a package, random enough not to be compressed, a workspace, and servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fetching import written
from tests.support.workspaces import opened
from tritonpm.operations.context import Context
from tritonpm.operations.init import init


@pytest.fixture
def package(tmp_path: Path) -> tuple[Path, str]:
    """A package's .zip and its digest."""
    return tmp_path / "bolts.zip", written(tmp_path / "bolts.zip")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "a workspace")
    return opened(tmp_path / "a workspace")
