"""What rests on the proof of a batch axis: the largest batch, dynamic batching, and what would settle a doubt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.support.packages import single
from tests.support.proof_oracle.models import WRONG_BATCHED
from tests.support.proof_oracle.run import written
from tests.support.workspaces import served
from tritonpm.core.errors import RuleError
from tritonpm.core.tensors import save_npz
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.render import render
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.upgrade import exchange

HIDDEN = "g (float[batch,4] x) => (float[batch,4] y) { a = Abs(x) m = Mul(a, h) y = Floor(m) }"
TOP = {"h": np.array(1e-30, np.float32)}  # nobody makes up a number that large


def config(context: Context, name: str, folder: Path) -> str:
    render(context, name, folder)
    return (folder / name / "config.pbtxt").read_text()


def test_a_larger_batch_is_proved_before_it_is_allowed(context: Context, tmp_path: Path) -> None:
    graph, weights = WRONG_BATCHED["unrolled for 4"]
    model = written(tmp_path / "model.onnx", graph, {**weights, "limit": np.array(20, np.int64)})
    import_package(context, model, name="p")
    assert show(context, "p").max_batch_size == 8
    change(context, "p", {"max_batch_size": 16})
    axis = batch_axes(context, context.catalogue.get("p").package)["model"]
    assert (axis.kind, axis.largest) == ("proved", 16)
    with pytest.raises(
        RuleError, match=r"can be batched up to 16, not 64: in a batch of .* row 20 is answered differently"
    ):
        change(context, "p", {"max_batch_size": 64})
    assert show(context, "p").max_batch_size == 16
    with pytest.raises(RuleError, match="up to 16, not 100"):
        change(context, "p", {"max_batch_size": 100})


def test_a_batch_that_import_asks_for_is_proved(context: Context, tmp_path: Path) -> None:
    graph, weights = WRONG_BATCHED["unrolled for 4"]
    model = written(tmp_path / "model.onnx", graph, {**weights, "limit": np.array(20, np.int64)})
    with pytest.raises(RuleError, match="up to 8, not 32"):
        import_package(context, model, name="p", changes={"max_batch_size": 32})


def test_what_tells_nothing_is_declared_and_not_joined(context: Context, tmp_path: Path) -> None:
    model = written(tmp_path / "model.onnx", HIDDEN, TOP)
    view = import_package(context, model, name="p")
    stage = view.stages_in_detail[0]
    assert stage.batch_axis == "declared"
    assert "output 'y' is the same for every input" in stage.batch_reason and "samples" in stage.batch_reason
    assert any("does not combine requests" in note for note in view.notes)
    text = config(context, "p", tmp_path / "out")
    assert "max_batch_size: 8" in text and "dynamic_batching" not in text
    change(context, "p", {"dynamic_batching": True})
    assert "dynamic_batching" in config(context, "p", tmp_path / "out")
    assert any("nothing proves" in note for note in show(context, "p").notes)


def test_a_sample_settles_it(context: Context, tmp_path: Path) -> None:
    model = written(tmp_path / "model.onnx", HIDDEN, TOP)
    import_package(context, model, name="doubtful")
    folder = single(tmp_path / "folder", model.read_bytes())
    save_npz(folder / "i.npz", {"x": np.float32([[2e30] * 4, [3e30] * 4, [4e30, 1, 2, 3]])})
    assert import_package(context, folder).stages_in_detail[0].batch_axis == "proved"


def test_an_upgrade_to_what_is_only_declared_is_not_joined(context: Context, tmp_path: Path) -> None:
    graph = "g (float[batch,4] x) => (float[batch,4] y) { y = Relu(x) }"
    import_package(context, written(tmp_path / "model.onnx", graph, {}), name="p")
    assert "dynamic_batching" in config(context, "p", tmp_path / "out")
    exchange(context, "p", written(tmp_path / "next.onnx", HIDDEN, TOP))
    assert "dynamic_batching" not in config(context, "p", tmp_path / "out")


def test_a_batch_size_of_0_leaves_the_batch_to_the_model(context: Context, tmp_path: Path) -> None:
    graph = "g (float[batch,4] x) => (float[batch,4] y) { y = Relu(x) }"
    import_package(context, written(tmp_path / "model.onnx", graph, {}), name="p", changes={"max_batch_size": 0})
    text = config(context, "p", tmp_path / "out")
    assert "dims: [ -1, 4 ]" in text.replace("[-1", "[ -1").replace("4]", "4 ]") or "dims: -1" in text
    assert "dynamic_batching" not in text


def test_a_large_batch_of_rows_is_proved_and_allowed(context: Context, tmp_path: Path) -> None:
    graph = "g (float[batch,4] x) => (float[batch,4] y) { y = Softmax<axis=1>(x) }"
    model = written(tmp_path / "model.onnx", graph, {})
    assert import_package(context, model, name="p", changes={"max_batch_size": 8192}).max_batch_size == 8192


@pytest.mark.server
def test_what_takes_nothing_is_served(tmp_path: Path) -> None:
    """Axes of a size of 0, over both protocols."""
    text = """<ir_version: 8, opset_import: ["": 18]>
    g (float[2,3] x, int64[0] axes) => (float[1,1] y) { y = ReduceSum(x, axes) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    sent = {"x": np.ones((2, 3), np.float32), "axes": np.zeros(0, np.int64)}
    with served(tmp_path / "workspace") as context:
        import_package(context, tmp_path / "m.onnx", name="m")
        load(context, "m")
        for protocol in ("http", "grpc"):
            with connect(context, protocol) as client:
                assert client.infer("m", sent)["y"] == [[6]]
