"""Lint for releases: what each would not load of a repository, and why."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tests.support.lint.oracle import a_server
from tests.support.repositories import BASE, model
from tritonpm.core.errors import TritonpmError
from tritonpm.core.releases import embedded, span
from tritonpm.operations.lint import lint


def relu(ir: int, opset: int, ml: int = 0) -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid("ai.onnx.ml", ml)] if ml else [])]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=ir).SerializeToString())


def refusing(root: Path, target: str) -> dict[str, str]:
    """Release → the sentence of the first thing that it refuses."""
    errors = [f for f in lint(root, target) if f.level == "error"]
    return {f.release: f.sentence for f in reversed(errors)}


@pytest.mark.parametrize(
    ("added", "first", "words"),
    [
        ("model_metrics { }", "24.11", "model_metrics of ModelConfig came with Triton 24.11"),
        (
            "input { name: 'z' data_type: TYPE_BF16 dims: [ 4 ] }",
            "22.05",
            "TYPE_BF16 of DataType came with Triton 22.05",
        ),
        ('runtime: ""', "24.01", "runtime of ModelConfig"),  # which says no more than the default
    ],
)
def test_a_field_is_of_a_release(tmp_path: Path, added: str, first: str, words: str) -> None:
    model(tmp_path, BASE + added)
    found = {f.release: f for f in lint(tmp_path, "22.01..26.08") if f.rule == "release-field"}
    assert set(found) == {row.name for row in span(f"22.01..{first}")[:-1]}
    assert all(words in f.sentence and (f.line == BASE.count("\n") + 1 or not f.line) for f in found.values())


@pytest.mark.parametrize(
    ("ir", "opset", "ml", "first"),
    [
        (13, 21, 0, "26.02"),
        (8, 26, 0, "26.07"),
        (8, 18, 5, "24.05"),
        (8, 15, 0, "22.01"),
        (14, 20, 0, ""),
        (10, 27, 0, ""),
    ],
)
def test_a_model_file_is_too_new_until_a_release(tmp_path: Path, ir: int, opset: int, ml: int, first: str) -> None:
    folder = model(tmp_path)
    (folder / "1/model.onnx").write_bytes(relu(ir, opset, ml))
    refused = refusing(tmp_path, "22.01..26.08")
    assert all(name < (first or "99") for name in refused)
    assert (len(refused) == 0) is (first == "22.01")
    if first and refused:
        assert f"the first release that does is {first}" in refused["22.01"] or ml
    elif not first:
        assert "26.08" in refused and "no release does so far" in refused["26.08"]


def test_layers_of_openvino_are_too_new_until_a_release(tmp_path: Path) -> None:
    folder = model(tmp_path, 'backend: "openvino"')
    (folder / "1/model.onnx").unlink()
    (folder / "1/model.xml").write_text('<net version="11"><layers><layer id="0" version="opset15"/></layers></net>')
    said = [f for f in lint(tmp_path, "24.10,24.12") if f.rule == "release-model"]
    assert [f.release for f in said] == ["24.10"]
    assert "has layers of opset15; OpenVINO 2024.4.0 of Triton 24.10 has opset14 at most" in said[0].sentence


def test_without_a_target_it_is_the_embedded_server(tmp_path: Path) -> None:
    folder = model(tmp_path, BASE + "model_metrics { }")
    (folder / "1/model.onnx").write_bytes(relu(embedded().ir + 1, 15))
    assert {f.rule for f in lint(tmp_path) if f.level == "error"} == {"release-field", "release-model"}
    assert {f.release for f in lint(tmp_path)} == {""}


@pytest.mark.server
def test_the_real_server_says_so_too(tmp_path: Path) -> None:
    row = embedded()
    cases = {
        "fits": (BASE, relu(row.ir, row.opset)),
        "ir": (BASE, relu(row.ir + 1, row.opset)),
        "opset": (BASE, relu(row.ir, row.opset + 1)),
        "field": (BASE + "model_metrics { }", relu(8, 15)),
        "default": (BASE + "ensemble_scheduling { max_inflight_requests: 0 }", relu(8, 15)),
    }
    with a_server() as (repository, client):
        for name, (config, content) in cases.items():
            folder = model(repository, config.replace('name: "m"', f'name: "{name}"'), name)
            (folder / "1/model.onnx").write_bytes(content)
            refused = ""
            try:
                client.load_and_wait(name, timeout=120)
            except TritonpmError as error:
                refused = error.what
            foretold = [f.sentence for f in lint(folder) if f.rule.startswith("release")]
            assert bool(refused) is bool(foretold), (name, refused, foretold)
