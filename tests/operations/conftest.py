"""A workspace of each test's own, and its server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import cascade, single
from tests.support.workspaces import QUICKLY, opened, publish
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.serve import serve
from tritonpm.operations.stop import stop


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "workspace")
    return opened(tmp_path / "workspace")


@pytest.fixture
def published(context: Context, tmp_path: Path) -> Context:
    """A workspace with a package of one model, p, and a cascade, c, both published."""
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    import_package(context, cascade(tmp_path / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    publish(context, "p")
    publish(context, "c")
    return context


@pytest.fixture
def server(context: Context) -> Iterator[None]:
    serve(context, None, **QUICKLY)
    yield
    stop(context, 15)
