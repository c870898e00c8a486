"""The example packages: trained for real, and as accurate through Triton as scikit-learn says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.workspaces import opened
from tritonpm.core.tensors import load_npz
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.stop import stop

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import make_packages

pytestmark = pytest.mark.long  # the networks are trained
BATCH = 8


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    make_packages.make(folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    root, _ = init(tmp_path_factory.mktemp("workspace"))
    context = opened(root)
    serve(context, None, detach=False, timeout=120)
    yield context
    stop(context, 40)


def test_the_same_bytes_each_time(packages: Path, tmp_path: Path) -> None:
    make_packages.make(tmp_path)
    for path in packages.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_taking_the_noise_off_first_helps(packages: Path) -> None:
    measured = json.loads((packages / "digits-cascade.json").read_text())
    assert measured["accuracy"] > measured["accuracy_without_denoise"] + 0.1
    assert json.loads((packages / "digits.json").read_text())["accuracy"] > 0.95


@pytest.mark.server
@pytest.mark.parametrize("name", ["digits", "digits-cascade"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_accuracy_through_triton(server: Context, packages: Path, name: str, protocol: str) -> None:
    if name not in {entry.name for entry in server.catalogue.packages()}:
        import_package(server, packages / f"{name}.zip")
        load(server, name)
    test = load_npz(packages / f"{name}-test.npz")
    digits = test.pop("digit")
    ((tensor, images),) = test.items()
    with connect(server, protocol) as client:
        scores = np.concatenate(
            [client.infer(name, {tensor: images[i : i + BATCH]})["scores"] for i in range(0, len(images), BATCH)]
        )
    assert (scores.argmax(axis=1) == digits).mean() == pytest.approx(
        json.loads((packages / f"{name}.json").read_text())["accuracy"], abs=0.005
    )
