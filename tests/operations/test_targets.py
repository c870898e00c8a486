"""The Triton release that a workspace is for: chosen, kept, and what import, render and lint make of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support.workspaces import files_of, opened
from tritonpm.core.errors import PackageError, UsageError
from tritonpm.core.releases import EMBEDDED, embedded, releases
from tritonpm.operations import targets
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.lint import lint
from tritonpm.operations.load import load
from tritonpm.operations.render import render
from tritonpm.operations.server import connect

SWISH = "g (float[batch,4] x) => (float[batch,4] y) { h = Swish(x) y = Neg(h) }"
OPSET = onnx.defs.onnx_opset_version()


def newest(path: Path, graph: str = SWISH) -> Path:
    """A model of the newest IR and opset, as exporters of this month write it: more than any runtime takes."""
    onnx.save(onnx.parser.parse_model(f'<ir_version: {onnx.IR_VERSION}, opset_import: ["": {OPSET}]> {graph}'), path)
    return path


def test_a_workspace_is_for_the_embedded_server_until_another_is_chosen(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = context.workspace
    assert targets.of_workspace(workspace) == embedded()
    monkeypatch.setenv(targets.OF_CONTAINER, "26.06")
    assert targets.of_workspace(workspace).name == "26.06"
    targets.use(workspace, "25.10")
    assert opened(workspace.root).target.release == "25.10"
    assert [row.name for row in targets.targets(workspace) if row.chosen] == ["25.10"]
    with pytest.raises(UsageError):
        targets.use(workspace, "1.2")
    targets.use(workspace, EMBEDDED)
    assert targets.of_workspace(workspace) == embedded()
    assert len(targets.targets()) == len(releases()) + 1


@pytest.mark.parametrize("target", ["24.10", "25.10", "26.06"])
def test_what_is_rendered_for_a_release_lint_finds_loadable_there(
    context: Context, tmp_path: Path, target: str
) -> None:
    own = replace(context, for_release=target)
    assert own.target.release == target
    package = import_package(own, newest(tmp_path / "m.onnx"), name="m")
    assert any(f"for Triton {target}, from IR {onnx.IR_VERSION}" in note for note in package.notes)
    render(own, "m", tmp_path / "out")
    assert not [f for f in lint(tmp_path / "out", target) if f.level == "error"]
    if target != "24.10":
        assert [f for f in lint(tmp_path / "out", "24.10") if f.rule == "release-model"]


def test_what_cannot_be_made_older_is_refused_before_anything_is_written(context: Context, tmp_path: Path) -> None:
    source = newest(tmp_path / "m.onnx", "g (float[batch,4] x) => (int32[batch,4] y) { y = BitCast <to = 6> (x) }")
    before = files_of(context)
    with pytest.raises(PackageError, match=r"BitCast came with opset 26; serve it with 26\.07, the first release"):
        import_package(replace(context, for_release="24.10"), source, name="m")
    assert files_of(context) == before


def test_what_was_made_older_is_kept_before_it_is_published(context: Context, tmp_path: Path) -> None:
    import_package(context, newest(tmp_path / "m.onnx"), name="m")
    axis = batch_axes(context, context.catalogue.get("m").package)["model"]
    assert axis.artefact in context.catalogue.referenced_blobs()
    assert "Swish replaced" in axis.lowered or "proved equal" in axis.lowered


@pytest.mark.server
def test_a_model_of_the_newest_onnx_is_made_older_and_served(context: Context, tmp_path: Path, server: None) -> None:
    import_package(context, newest(tmp_path / "m.onnx"), name="m")
    load(context, "m")
    x = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
    with connect(context, "http") as client:
        np.testing.assert_allclose(client.infer("m", {"x": x})["y"], -x / (1 + np.exp(-x)), rtol=1e-4)
