"""The batch axis, on models that batch, that only seem to, and that must not hurt us."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper
from openvino import opset13 as ops

from tritonpm.convert import batch
from tritonpm.core.errors import UnsafeError
from tritonpm.core.tensors import save_npz
from tritonpm.core.types import BatchAxis, Format, Signature, Stage, Task, Tensor
from tritonpm.package import read_signature

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
DIVERSE = ("light_densenet121", "light_inception_v1", "light_shufflenet", "light_squeezenet")  # of nine
QUICK = ("light_shufflenet", "light_squeezenet")


def write(folder: Path, graph: str, *, ir: int = 8, opset: int = 17, **weights: np.ndarray) -> Path:
    """An ONNX model from ONNX's textual syntax, with initializers."""
    model = onnx.parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]> {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    if ir < 4:
        for name, array in weights.items():
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def proved(model: Path, *more: str, samples: tuple[Path, ...] = ()) -> tuple[BatchAxis, Path | None]:
    """The verdict on a model file, as the package room would describe it."""
    form, signature = read_signature(model)
    files = {name: model.parent / name for name in (model.name, *more)}
    stage = Stage("stage", Task.OTHER, form, model.name, tuple(sorted(files)), signature)
    workdir = model.parent / "work"
    workdir.mkdir()
    return batch.prove(stage, files, samples, workdir)


def test_a_dynamic_batch_is_proved_and_nothing_is_rewritten(tmp_path: Path) -> None:
    axis, rewritten = proved(write(tmp_path, "g (float[N,4] x) => (float[N,4] y) { y = Softmax(x) }"))
    assert (axis.kind, axis.artefact, rewritten) == ("proved", None, None)
    assert "batches of up to 8" in axis.reason


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ("g (float[N,4] x) => (float[N,4] y) { m = ReduceMean<axes=[0]>(x) y = Sub(x, m) }", "differently than alone"),
        ("g (float[N,4] x) => (float[M,4] y) { y = ReduceMean<axes=[0]>(x) }", "'y' has shape [1, 4]"),
        ("g (float[N,4] x) => (float[M] y) { s = Shape(x) r = Cast<to=1>(s) y = Identity(r) }", "'y' has shape [2]"),
        ("g (float[N,4] x) => (float[N,4] y) { r = RandomUniformLike(x) y = Add(x, r) }", "from run to run"),
        ("g (float[N,4] x) => (float[N,4] y) { y = CumSum(x, axis) }", "differently than alone"),
    ],
)
def test_rows_that_are_not_independent(tmp_path: Path, graph: str, said: str) -> None:
    weights = {"axis": np.array(0, np.int64)} if "axis)" in graph else {}
    axis, rewritten = proved(write(tmp_path, graph, **weights))
    assert axis.kind == "none" and rewritten is None
    assert said in axis.reason


def test_what_a_batch_shares_and_no_input_turned_is_only_declared(tmp_path: Path) -> None:
    """In a function of the model's own, too."""
    graph = "g (float[N,4] x) => (float[N,4] y) { y = own.f(x, w, h) }"
    function = (
        '<domain: "own", opset_import: ["" : 17]> f (x, w, h) => (y) { l = MatMul(x, w) m = ReduceMean<axes=[0]>(l) '
        "c = Greater(m, h) n = Neg(x) y = Where(c, n, x) }"
    )
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "own" : 1]> {graph} {function}')
    weights = {"w": np.full((4, 1), 1e-4, np.float32), "h": np.array(1e7, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    onnx.save(model, tmp_path / "model.onnx")
    axis, _ = proved(tmp_path / "model.onnx")
    assert axis.kind == "declared"
    assert "was the same for every input that was tried; samples for which" in axis.reason
    assert axis.power is not None
    assert axis.power.tried == axis.power.noticed + 1


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ("g (float[N,4] x, float[4] w) => (float[N,4] y) { y = Add(x, w) }", "'w' has a fixed first dimension of 4"),
        ("g (float x) => (float y) { y = Abs(x) }", "'x' is a scalar"),
        ("g (float[1] x) => (float[1] y) { y = Abs(x) }", "'x' has shape [1]"),
        ("g (float[2,4] x) => (float[2,4] y) { y = Abs(x) }", "'x' has a fixed first dimension of 2"),
        (
            "g (float[N,4] x, float[M,4] w) => (float[K,4] y) { y = Concat<axis=0>(x, w) }",
            "has shape [2, 4] for a batch of 1",
        ),
        (
            "g (float[N,4] x, bfloat16[M,4] w) => (float[K,4] y) { c = Sin(w) d = Cast<to=1>(c) y = Add(x, d) }",
            "do not share",
        ),
    ],
)
def test_no_batch_axis_is_told_with_the_tensor(tmp_path: Path, graph: str, said: str) -> None:
    axis, _ = proved(write(tmp_path, graph))
    assert axis.kind == "none"
    assert said in axis.reason


def test_a_batch_that_the_exporter_names_anew_for_each_input_is_tried(tmp_path: Path) -> None:
    axis, _ = proved(write(tmp_path, "g (float[N,4] x, float[M,4] w) => (float[K,4] y) { y = Mul(x, w) }"))
    assert axis.kind == "proved", axis.reason


RESHAPE = "g (float[1,2,6] x) => (float[1,12] y) { y = Reshape(x, shape) }"
STATIC = {
    "initializer": (RESHAPE, {"shape": np.array([1, 12], np.int64)}, {}),
    "with -1": (RESHAPE, {"shape": np.array([1, -1], np.int64)}, {}),
    "old IR": (RESHAPE, {"shape": np.array([1, 12], np.int64)}, {"ir": 3}),
    "constant node": (
        "g (float[1,2,6] x) => (float[1,12] y) { s = Constant<value=int64[2] {1, 12}>() y = Reshape(x, s) }", {}, {},
    ),
    "value_ints": (
        "g (float[1,2,6] x) => (float[1,12] y) { s = Constant<value_ints=[1, 12]>() y = Reshape(x, s) }", {}, {},
    ),
    "batch folded away and back": (
        "g (float[1,2,6] x) => (float[1,2,5] y) { f = Reshape(x, flat) m = MatMul(f, w) y = Reshape(m, back) }",
        {"flat": np.array([2, 6]), "back": np.array([1, 2, 5]), "w": np.ones((6, 5), np.float32)}, {},
    ),
    "a reshaped weight stays": (
        "g (float[1,6] x) => (float[1,2] y) { v = Reshape(w, shape) y = MatMul(x, v) }",
        {"w": np.arange(12, dtype=np.float32), "shape": np.array([6, 2])}, {},
    ),
    "shape computed": (
        "g (float[1,2,6] x) => (float[1,12] y) { s = Shape<start=0, end=1>(x) t = Concat<axis=0>(s, rest) "
        "y = Reshape(x, t) }",
        {"rest": np.array([-1])}, {},
    ),
    "resize to sizes": (
        'g (float[1,1,2,2] x) => (float[1,1,4,4] y) { y = Resize<mode="nearest">(x, , , sizes) }',
        {"sizes": np.array([1, 1, 4, 4])}, {},
    ),
    "class token": (
        "g (float[1,3,2] x) => (float[1,4,2] y) { y = Concat<axis=1>(token, x) }",
        {"token": np.array([[[5, 7]]], np.float32)}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STATIC)
def test_a_static_batch_of_one_is_made_dynamic(tmp_path: Path, case: str) -> None:
    graph, weights, options = STATIC[case]
    model = write(tmp_path, graph, **options, **weights)
    axis, rewritten = proved(model)
    assert axis.kind == "proved", axis.reason
    assert axis.artefact and rewritten and axis.signature
    assert {t.shape and t.shape[0] for t in (*axis.signature.inputs, *axis.signature.outputs)} == {"batch"}
    assert read_signature(rewritten)[1] == axis.signature
    shape = [5, *(axis.signature.inputs[0].shape or ())[1:]]
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    before, after = (onnxruntime.InferenceSession(path) for path in (model, rewritten))
    rows = np.concatenate([before.run(None, {"x": x[i : i + 1]})[0] for i in range(5)])
    np.testing.assert_allclose(after.run(None, {"x": x})[0], rows, rtol=1e-5)


@pytest.mark.parametrize(
    "graph",
    [
        "g (float[1,4,4] x) => (float[1,4,4] y) { s = Squeeze(x) t = Transpose<perm=[1,0]>(s) y = Unsqueeze(t, axes) }",
        "g (float[1,4,4] x) => (float[1,4,4] y) { t = Transpose<perm=[1,0,2]>(x) y = Reshape(t, shape) }",
    ],
)
def test_a_batch_of_one_that_cannot_be_freed_stays(tmp_path: Path, graph: str) -> None:
    weights = {"axes": np.array([0])} if "axes" in graph else {"shape": np.array([1, 4, 4])}
    axis, rewritten = proved(write(tmp_path, graph, **weights))
    assert axis.kind == "none" and rewritten is None
    assert "with a batch of" in axis.reason or "in a batch of" in axis.reason


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in DIVERSE]
)
def test_the_light_networks_are_made_batchable(tmp_path: Path, name: str) -> None:
    """The weights of most are all alike, and so are their answers, which proves nothing."""
    model = LIGHT / f"{name}.onnx"
    (tmp_path / model.name).hardlink_to(model) if model.stat().st_dev == tmp_path.stat().st_dev else (
        tmp_path / model.name
    ).write_bytes(model.read_bytes())
    axis, rewritten = proved(tmp_path / model.name)
    assert "equal row by row" in axis.reason
    assert (axis.kind == "proved") == bool(rewritten) == (not axis.power.blind)


def test_external_weights_are_found_and_stay_where_they_are(tmp_path: Path) -> None:
    model = write(
        tmp_path, "g (float[1,64] x) => (float[1,64] y) { y = MatMul(x, w) }", w=np.ones((64, 64), np.float32)
    )
    onnx.save(onnx.load(model), model, save_as_external_data=True, location="model.data", size_threshold=0)
    axis, rewritten = proved(model, "model.data")
    assert axis.kind == "proved" and rewritten, axis.reason
    assert rewritten.stat().st_size < 1000


def test_samples_are_the_inputs_where_there_are_some(tmp_path: Path) -> None:
    model = write(tmp_path, "g (int64[N] x) => (float[N] y) { y = Gather(w, x) }", w=np.arange(3, dtype=np.float32))
    save_npz(tmp_path / "far.npz", {"x": np.array([9, 9])})
    axis, _ = proved(model, samples=(tmp_path / "far.npz",))
    assert axis.kind == "declared"
    assert "does not run with its samples" in axis.reason


def test_dynamic_sizes_are_tried_until_the_model_runs(tmp_path: Path) -> None:
    model = write(
        tmp_path, "g (float[N,1,H,W] x) => (float[N,1,A,B] y) { y = Conv(x, w) }", w=np.ones((1, 1, 9, 9), np.float32)
    )
    assert proved(model)[0].kind == "proved"


@pytest.mark.parametrize(
    ("graph", "shape", "kind"),
    [
        ("g (float[N,4] x) => (float[N,M] y) { y = Abs(x) }", ("N", 4), "proved"),
        ("g (float[2,4] x) => (float[A,B] y) { y = Abs(x) }", (2, 4), "none"),
        ("g (float[N,4] x) => (float[N,M] y) { y = Compress<axis=1>(x, c) }", ("N", "M"), "proved"),
    ],
)
def test_outputs_have_the_shape_that_the_native_backend_infers(
    tmp_path: Path, graph: str, shape: tuple[object, ...], kind: str
) -> None:
    weights = {"c": np.array([True, False, True, False])} if "Compress" in graph else {}
    model = write(tmp_path, graph, **weights)
    axis, _ = proved(model)
    assert (axis.kind, (axis.signature or read_signature(model)[1]).outputs[0].shape) == (kind, shape)


def test_an_output_without_a_shape_gets_the_inferred_one(tmp_path: Path) -> None:
    model = write(tmp_path, "g (float[N,4] x) => (float[N,4] y) { y = Abs(x) }")
    proto = onnx.load(model)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(proto, model)
    axis, _ = proved(model)
    assert axis.kind == "proved" and axis.signature
    assert axis.signature.outputs[0].shape == ("N", 4)


def ir(folder: Path, model: openvino.Model) -> Path:
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def dense(rows: int, *, width: int = 6) -> openvino.Model:
    x = ops.parameter([rows, width], name="x", dtype=np.float32)
    x.output(0).set_names({"x"})
    y = ops.matmul(x, ops.constant(np.random.default_rng(0).random((width, 3)).astype(np.float32)), False, False)
    y.output(0).set_names({"y"})
    return openvino.Model([ops.result(y)], [x], "dense")


def test_openvino_dynamic(tmp_path: Path) -> None:
    assert proved(ir(tmp_path, dense(-1)), "model.bin")[0].kind == "proved"


def test_openvino_static_batch_is_made_dynamic(tmp_path: Path) -> None:
    axis, rewritten = proved(ir(tmp_path, dense(1)), "model.bin")
    assert axis.kind == "proved" and rewritten, axis.reason
    assert read_signature(rewritten)[1].dynamic_batch


def test_openvino_state_is_no_batch(tmp_path: Path) -> None:
    x = ops.parameter([-1, 2], name="x", dtype=np.float32)
    x.output(0).set_names({"x"})
    start = ops.constant(np.zeros((1, 2), np.float32))
    total = ops.add(ops.read_value(start, "total"), x)
    total.output(0).set_names({"y"})
    model = openvino.Model([ops.result(total)], [ops.assign(total, "total")], [x], "sum")
    axis, _ = proved(ir(tmp_path, model), "model.bin")
    assert axis.kind == "none"
    assert "state" in axis.reason


@pytest.mark.parametrize(("first", "kind"), [("N", "declared"), (1, "none")])
def test_what_cannot_run_here_is_not_proved(tmp_path: Path, first: str | int, kind: str) -> None:
    (tmp_path / "model.plan").write_bytes(b"plan")
    tensors = (Tensor("x", "FP32", (first, 4)),), (Tensor("y", "FP32", (first, 4)),)
    stage = Stage("stage", Task.OTHER, Format.TENSORRT, "model.plan", ("model.plan",), Signature(*tensors))
    axis, _ = batch.prove(stage, {"model.plan": tmp_path / "model.plan"}, (), tmp_path)
    assert axis.kind == kind
    assert "cannot be run here" in axis.reason


def test_too_large_a_model_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LARGEST", 10)
    axis, _ = proved(write(tmp_path, "g (float[N,4] x) => (float[N,4] y) { y = Abs(x) }"))
    assert axis.kind == "declared"
    assert "larger" in axis.reason


def test_a_model_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SECONDS", 3.0)
    body = "b (int64 i, bool c, float[N,4] a) => (bool d, float[N,4] z) { d = Identity(c) z = Sin(a) }"
    model = write(
        tmp_path,
        f"g (float[N,4] x) => (float[N,4] y) {{ y = Loop<body = {body}>(trips, go, x) }}",
        trips=np.array(2**60, np.int64),
        go=np.array(True),
    )
    axis, _ = proved(model)
    assert axis.kind == "declared"
    assert "longer than 3 s" in axis.reason


def test_a_model_that_eats_memory_is_stopped(tmp_path: Path) -> None:
    model = write(
        tmp_path,
        "g (float[N,4] x) => (float[N,4] y) { big = ConstantOfShape(size) s = ReduceSum<keepdims=0>(big) "
        "y = Add(x, s) }",
        size=np.array([2 * batch.MEMORY // 4]),
    )
    axis, _ = proved(model)
    assert axis.kind == "declared"


def test_a_model_that_cannot_even_be_loaded_within_its_limits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SECONDS", 3.0)
    functions = []
    for level in range(30):  # each calls the next one twice: 2^30 nodes
        domain, called = ("own", f"f{level + 1}") if level < 29 else ("", "Identity")
        nodes = [helper.make_node(called, [a], [b], domain=domain) for a, b in (("a", "b"), ("b", "c"))]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["c"], nodes, opsets))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("f0", ["x"], ["y"], domain="own")], "g", [x], [y])
    made = helper.make_model(graph, functions=functions, opset_imports=functions[0].opset_import, ir_version=9)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(UnsafeError, match=r"loading its model (took longer|needs more)"):
        proved(tmp_path / "m.onnx")
