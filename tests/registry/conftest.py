"""What the tests of registries share: a package, random enough not to be compressed, and servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fetching import written


@pytest.fixture
def package(tmp_path: Path) -> tuple[Path, str]:
    """A package's .zip and its digest."""
    return tmp_path / "bolts.zip", written(tmp_path / "bolts.zip")
