"""Imports: a refusal leaves nothing, two at once both succeed, and an adopted folder keeps its settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest

from tests.support.packages import package
from tests.support.repositories import BASE, model
from tests.support.workspaces import files_of, opened
from tritonpm.core.errors import NameTakenError, PackageError, RuleError, UnsafeError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.lint import lint
from tritonpm.operations.list import packages
from tritonpm.operations.render import render
from tritonpm.operations.set import change


def test_a_refusal_leaves_nothing(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    before = files_of(context)
    with pytest.raises(NameTakenError, match="taken"):
        import_package(context, package(tmp_path / "b", expected=2.0))
    with pytest.raises(NameTakenError, match="same content is there as 'p'"):
        import_package(context, tmp_path / "a", name="q")
    with pytest.raises(RuleError, match="0 to 65536"):
        import_package(context, package(tmp_path / "c", "c", expected=3.0), changes={"max_batch_size": -1})
    code = model(tmp_path / "repository", BASE.replace("onnxruntime", "python"))
    (code / "1/model.py").write_text("print('hello')")
    with pytest.raises(UnsafeError, match="allow-code"):
        import_package(context, code)
    assert files_of(context) == before
    assert [p.name for p in packages(context.catalogue)] == ["p"]


def test_two_imports_at_once_both_succeed(context: Context, tmp_path: Path) -> None:
    sources = [package(tmp_path / f"s{i}", f"p{i}", expected=float(i)) for i in range(6)]
    root = context.workspace.root
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda source: import_package(opened(root), source), sources))
    assert [p.name for p in packages(context.catalogue)] == [f"p{i}" for i in range(6)]


def test_settings_of_an_adopted_folder_are_its_own(context: Context, tmp_path: Path) -> None:
    text = BASE.replace("count: 1", "count: 3") + 'metric_tags { key: "a" value: "b" }'
    model(tmp_path / "repository", text)
    view = import_package(context, tmp_path / "repository/m")
    assert (view.mode, view.instances, view.max_batch_size) == ("performance", 3, 8)
    render(context, "m", tmp_path / "out")
    said = (tmp_path / "out/m/config.pbtxt").read_text()
    assert "metric_tags" in said
    assert "count: 3" in said
    change(context, "m", {"max_batch_size": 4})
    render(context, "m", tmp_path / "out")
    assert "max_batch_size: 4" in (tmp_path / "out/m/config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("double", "y = Hardmax(x)", "uses Hardmax (opset 13, double), which ONNX Runtime"),
        ("string", 'y = StringNormalizer<case_change_action = "LOWER">(x)', "locale-gen en_US.UTF-8"),
    ],
)
def test_what_the_runtime_would_not_start_is_said(
    context: Context, tmp_path: Path, kind: str, body: str, words: str
) -> None:
    text = f'<ir_version: 8, opset_import: ["" : 17]> g ({kind}[N,3] x) => ({kind}[N,3] y) {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    said: list[str] = []
    import_package(opened(context.workspace.root, warn=said.append), tmp_path / "m.onnx")
    assert [sentence for sentence in said if words in sentence], said


def test_bounds_of_an_openvino_model_are_left_open(context: Context, tmp_path: Path) -> None:
    """As Triton's config must; a folder in which they are not is none that the native backend loads."""
    import numpy as np
    import openvino as ov
    from openvino import opset13

    x = opset13.parameter(ov.PartialShape([2, ov.Dimension(1, 8)]), np.float32, name="x")
    y = opset13.relu(x)
    y.output(0).set_names({"y"})
    x.output(0).set_names({"x"})
    ov.save_model(ov.Model([y], [x]), tmp_path / "m.xml")
    import_package(context, tmp_path / "m.xml")
    render(context, "m", tmp_path / "out")
    folder = tmp_path / "out/m"
    assert "the bounds of x are left open" in (folder / "config.pbtxt").read_text()
    assert [finding for finding in lint(folder) if finding.level == "error"] == []
    written = folder / "1/model.xml"
    written.write_text(written.read_text().replace('"2,?"', '"2,1..8"'))
    [finding] = [finding for finding in lint(folder) if finding.level == "error"]
    assert finding.sentence == "dim 2 of the input 'x' is 1..8 in the model file, and -1 in the config"
    (folder / "config.pbtxt").write_text((folder / "config.pbtxt").read_text().replace("dims: [2, -1]", "dims: [2, 4]"))
    assert [finding for finding in lint(folder) if finding.level == "error"] == []


OVERRIDE = """name: "m"
backend: "onnxruntime"
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] }, { name: "w" data_type: TYPE_FP32 dims: [ 3, 2 ] optional: true } ]
output { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ] }
instance_group { count: 1 kind: KIND_CPU }
"""


@pytest.mark.parametrize(("ir", "taken"), [(8, True), (3, False)])
def test_a_weight_that_may_be_sent_is_an_optional_input(context: Context, tmp_path: Path, ir: int, taken: bool) -> None:
    folder = model(tmp_path, OVERRIDE)
    text = (
        f'<ir_version: {ir}, opset_import: ["" : {9 if ir == 3 else 17}]> g (float[N,3] x, float[3,2] w) => (float[N,2] y) '
        "<float[3,2] w = {1, 1, 1, 1, 1, 1}> { y = MatMul(x, w) }"
    )
    onnx.save(onnx.parser.parse_model(text), folder / "1/model.onnx")
    if not taken:  # before IR 4 all weights stand among the inputs, and none may be sent
        with pytest.raises(PackageError, match="'w' is not in the model file"):
            import_package(context, folder)
        return
    import_package(context, folder)
    stage = context.catalogue.get("m").package.stages[0]
    assert [(tensor.name, tensor.optional) for tensor in stage.signature.inputs] == [("x", False), ("w", True)]


@pytest.mark.parametrize("config", ["", 'backend: "python"\n'])
def test_a_python_model_that_completes_its_config_is_told_what_to_write(
    context: Context, tmp_path: Path, config: str
) -> None:
    (tmp_path / "auto/1").mkdir(parents=True)
    (tmp_path / "auto/1/model.py").write_text("class TritonPythonModel: ...\n")
    if config:
        (tmp_path / "auto/config.pbtxt").write_text(config)
    with pytest.raises(PackageError, match="auto_complete_config"):
        import_package(context, tmp_path / "auto", allow_code=True)
