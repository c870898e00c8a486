"""What ends a raw tritonserver, seen on the real one: lint and import must refuse it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.lint import cases
from tests.support.waiting import until
from tests.support.workspaces import opened
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.adopt import adopt
from tritonpm.operations.init import init
from tritonpm.repository.lint import loadable
from tritonpm.triton import embedded
from tritonpm.triton.client import Client

pytestmark = pytest.mark.server


def dies(root: Path, name: str) -> None:
    """A server ends once it is asked to load `name`."""
    server = embedded.start(embedded.find(), root / "models", root / "state")
    try:
        with Client(server.http) as client, suppress(TritonpmError):
            client.load(name)
        until(lambda: not server.alive, "it survives", every=0.05)
    finally:
        embedded.stop(server, root / "state", timeout=5)


def huge_version(models: Path) -> str:
    cases.model(models, versions=(str(2**63),))
    return "m"


def reaches_a_cycle(models: Path) -> str:
    next(case for case in cases.catalogue() if case.id == "members-circle").build(models)
    (models / "top/1").mkdir(parents=True)
    top = cases.ENSEMBLE.replace('name: "e"', 'name: "top"').replace('model_name: "m2"', 'model_name: "e"')
    (models / "top/config.pbtxt").write_text(top)
    return "top"


@pytest.mark.parametrize("build", [huge_version, reaches_a_cycle])
def test_what_ends_a_raw_triton_is_an_error_here(tmp_path: Path, build: Callable[[Path], str]) -> None:
    (tmp_path / "models").mkdir()
    name = build(tmp_path / "models")
    assert loadable(tmp_path / "models", name)
    init(tmp_path / "workspace")
    adopted = adopt(opened(tmp_path / "workspace"), tmp_path / "models")
    assert next(model for model in adopted if model.name == name).refused
    dies(tmp_path, name)
