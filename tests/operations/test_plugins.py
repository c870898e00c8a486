"""What another distribution adds by entry points works as what tritonpm brings: a package that was really installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.workspaces import opened
from tritonpm.convert import runtimes
from tritonpm.core.errors import OptimisationError, UsageError
from tritonpm.core.types import Format
from tritonpm.operations import remote_repository as stores
from tritonpm.operations.adopt import adopt
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.lint import lint
from tritonpm.operations.pull import bring_in
from tritonpm.operations.push import push
from tritonpm.operations.render import render

PLUGIN = Path(__file__).parents[1] / "support/plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example, installed into a folder that this process and those that it starts look into."""
    folder = tmp_path_factory.mktemp("plugins")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder), str(PLUGIN)], check=True, timeout=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("TOY_SHELF", str(folder / "shelf"))
        yield folder


@pytest.mark.usefixtures("installed")
def test_a_source_and_a_converter_of_others(context: Context, tmp_path: Path) -> None:
    heard: list[str] = []
    telling = opened(context.workspace.root, warn=heard.append)
    assert bring_in(telling, "toy://triple/3").name == "triple"
    assert heard == [
        "triple.toy: was converted by tritonpm-toy 0.1 (tritonpm.converters: toy), unverified: the original cannot be run here"
    ]
    stage = context.catalogue.get("triple").package.stages[0]
    (blob,) = [file.digest for file in context.catalogue.get("triple").package.files]
    assert stage.format is Format.ONNX
    answer = runtimes.load(Format.ONNX, context.blobs.path(blob))({"x": np.ones((1, 4), np.float32)})
    assert np.array_equal(answer["y"], np.full((1, 4), 3, np.float32))
    (tmp_path / "bad.toy").write_text("three")
    with pytest.raises(OptimisationError, match=r"tritonpm-toy 0\.1 .* does not convert it: ValueError: could not"):
        import_package(context, tmp_path / "bad.toy")
    with pytest.raises(UsageError, match="toy://quadruple/4: can only be pulled from"):
        push(context, "triple", "toy://quadruple/4")
    with pytest.raises(UsageError, match="unknown:// is not a kind of address that is known"):
        bring_in(context, "unknown://a")


@pytest.mark.usefixtures("installed")
def test_a_store_and_a_lint_rule_of_others(context: Context, tmp_path: Path) -> None:
    bring_in(context, "toy://double/2")
    stores.publish(context, ["double"], stores.opened("shelf://bucket/models"))
    assert stores.verify(stores.opened("shelf://bucket/models")) == []
    render(context, "double", tmp_path / "rendered")
    told = [(finding.rule, finding.level, finding.sentence) for finding in lint(tmp_path / "rendered")]
    assert ("toy-owner", "warning", "nobody is named as the owner of double") in told
    with pytest.raises(UsageError, match="not a repository"):
        adopt(context, "cupboard://bucket/models")
