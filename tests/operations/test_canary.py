"""A canary that could never take the place of its package is refused before anything of it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import single
from tests.support.workspaces import files_of
from tritonpm.catalogue import Source
from tritonpm.core.errors import SameContentError
from tritonpm.operations.canary import start
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.switch import take_over


def test_the_content_of_another_package_is_no_canary(published: Context, tmp_path: Path) -> None:
    import_package(published, single(tmp_path / "q", scaled(4.0), name="q"))
    before = files_of(published)
    with pytest.raises(SameContentError, match="the same content is there as 'q'"):
        start(published, "p", single(tmp_path / "again", scaled(4.0), name="p"), {"max_batch_size": 4})
    assert "p-canary" not in [entry.name for entry in published.catalogue.packages()]
    assert files_of(published) == before


def test_a_package_keeps_its_content_where_another_one_has_it_too(published: Context) -> None:
    """Two models of an adopted repository may be equal: each can be switched, and be canaried with other settings."""
    source = published.workspace.root.parent / "in"
    import_package(published, source, name="twin", again=True)
    record = published.catalogue.get("twin")
    for batch in (4, 2):
        settings = type(record.settings)(max_batch_size=batch)
        assert take_over(published, "twin", Source(record.package, settings)) is None  # no server
        assert published.catalogue.get("twin").settings.max_batch_size == batch
    assert published.catalogue.get("twin").package.digest == published.catalogue.get("p").package.digest
