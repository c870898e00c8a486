"""A model made older: what is kept, replaced, refused, and that a wrong one would be noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tritonpm.convert.lower import NotLowerableError, lower
from tritonpm.convert.lower_proof import reference
from tritonpm.convert.lowering import LoweredModel, opened, too_new, unfit
from tritonpm.convert.lowering import lower as asked
from tritonpm.convert.runtimes import load
from tritonpm.core.errors import PackageError
from tritonpm.core.releases import Release, embedded, release
from tritonpm.core.types import Format, Needs, Stage, Task
from tritonpm.package import read_signature
from tritonpm.package.kernels import lacks
from tritonpm.package.needs import needs, operators_without

OLD = release("24.10")
NEWEST = onnx.defs.onnx_opset_version()


def built(
    path: Path, nodes: str, *, ir: int = onnx.IR_VERSION, opset: int = NEWEST, kind: str = "float", more: str = ""
) -> Path:
    """A model of x [3, 4] → y, in ONNX's textual syntax."""
    text = f'<ir_version: {ir}, opset_import: ["": {opset}]> g ({kind}[3,4] x{more}) => ({kind}[3,4] y) {{ {nodes} }}'
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def stage(path: Path) -> Stage:
    signature = read_signature(path)[1]
    asked = replace(needs(path, Format.ONNX), kernels=tuple({lack.span for lack in lacks(onnx.load(path))}))
    return Stage("s", Task.OTHER, Format.ONNX, path.name, (path.name,), signature, needs=asked)


def made(path: Path, target: Release = OLD) -> LoweredModel | None:
    folder = path.parent / "work"
    folder.mkdir()
    return asked(stage(path), {path.name: path}, [], target, folder)


def versions(path: Path) -> tuple[int, int]:
    model = onnx.load(path)
    return model.ir_version, model.opset_import[0].version


def test_stamps_alone_where_nothing_newer_is_used(tmp_path: Path) -> None:
    path = built(tmp_path / "m.onnx", "y = Relu(x)")
    result = made(path)
    assert versions(result.path) == (10, 21)
    assert [node.op_type for node in onnx.load(result.path).graph.node] == ["Relu"]
    assert result.sentence == (
        f"made IR 10, opset 21 for Triton 24.10, from IR {onnx.IR_VERSION}, opset {NEWEST}: nothing newer is used"
    )


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ("h = Cos(x) y = Identity(h)", "its operators are the same; proved equal on"),
        ("h = Swish <alpha = 0.5> (x) y = Neg(h)", "Swish replaced by what ONNX defines it to be; proved equal on"),
        ("s = Constant <value = float[4] {1, 2, 3, 4}> () y = RMSNormalization(x, s)", "RMSNormalization replaced by"),
    ],
)
def test_newer_operators_are_kept_or_replaced_and_proved(tmp_path: Path, nodes: str, words: str) -> None:
    path = built(tmp_path / "m.onnx", nodes)
    result = made(path)
    assert versions(result.path) == (10, 21)
    assert words in result.sentence
    x = np.random.default_rng(0).normal(0, 2, (3, 4)).astype(np.float32)
    want, got = reference(path)({"x": x})["y"], load(Format.ONNX, result.path)({"x": x})["y"]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_inside_of_a_branch_too(tmp_path: Path) -> None:
    branches = (
        "<then_branch = t () => (float[3,4] a) { a = Swish(x) }, else_branch = e () => (float[3,4] b) { b = Neg(x) }>"
    )
    path = built(
        tmp_path / "m.onnx",
        f"s = ReduceSum <keepdims = 0> (x) z = CastLike(s, s) c = Cast <to = 9> (z) y = If {branches} (c)",
    )
    assert "Swish replaced" in made(path).sentence


def test_a_type_that_the_older_operator_does_not_take_is_made_wider(tmp_path: Path) -> None:
    path = built(
        tmp_path / "m.onnx",
        "h = ReverseSequence <batch_axis = 1, time_axis = 0> (x, n) y = Neg(h)",
        kind="float16",
        more=", int64[4] n",
    )
    changes = lower(path, tmp_path / "o.onnx", Needs(10, 21, 5))
    assert versions(tmp_path / "o.onnx") == (10, 21)
    assert not changes.converted


@pytest.mark.parametrize(
    ("nodes", "operator", "first"),
    [
        ("i = BitCast <to = 6> (x) y = BitCast <to = 1> (i)", "BitCast came with opset 26", "serve it with 26.07"),
        (
            "i = BitCast <to = 6> (x) j = Cast <to = 6> (x) k = Add(i, j) y = Cast <to = 1> (k)",
            "BitCast came with",
            "26.07",
        ),
    ],
)
def test_what_cannot_be_made_older_names_the_operator_and_the_first_release(
    tmp_path: Path, nodes: str, operator: str, first: str
) -> None:
    path = built(tmp_path / "m.onnx", nodes, ir=13, opset=26)
    with pytest.raises(PackageError) as refused:
        made(path)
    assert operator in str(refused.value) and first in str(refused.value) and "24.10" in str(refused.value)
    assert embedded().opset < 26 or made_again(path, embedded()) is None


def made_again(path: Path, target: Release) -> None:
    assert not too_new(stage(path), target)


def test_a_lowering_that_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof itself: the older model is damaged, and it must notice."""
    import json

    from tritonpm.convert import lower_proof

    path = built(tmp_path / "m.onnx", "y = Swish(x)")
    honest = lower_proof.lower

    def wrong(source: Path, target: Path, *given: object, **more: object) -> object:
        changes = honest(source, target, *given, **more)
        model = onnx.load(target)
        model.graph.node.append(helper.make_node("Abs", [model.graph.node[-1].output[0]], ["z"]))
        model.graph.output[0].name = "z"
        model.graph.node[-1].output[0] = "z"
        rename(model)
        onnx.save(model, target)
        return changes

    def rename(model: onnx.ModelProto) -> None:
        model.graph.node[-2].output[0], model.graph.node[-1].input[0] = "inner", "inner"
        model.graph.node[-1].output[0], model.graph.output[0].name = "y", "y"

    monkeypatch.setattr(lower_proof, "lower", wrong)
    request = {
        "model": str(path), "limits": {"ir": 10, "opset": 21, "ml": 5}, "inputs": [["x", "FP32", [3, 4], False]],
        "values": {}, "samples": [], "run": True,
        "old": False, "other": True, "onnxruntime": "", "here": False, "bounded": [],
    }  # fmt: skip
    said = json.loads(lower_proof.answer(json.dumps(request).encode(), tmp_path, lambda *_: None))
    assert "what it is rewritten to answers otherwise" in said["refused"]


def test_what_is_older_than_the_runtimes_kernels_is_made_newer(tmp_path: Path) -> None:
    """An AveragePool of opset 6, for which there is no kernel; a Relu of opset 6 is served as it is."""
    text = """<ir_version: 3, opset_import: ["": 6]>
    g (float[1,1,4] x) => (float[1,1,3] y) { y = AveragePool<kernel_shape=[2]>(x) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    result = made(tmp_path / "m.onnx", embedded())
    assert result is not None and versions(result.path) == (3, 7)
    assert "opset 7 for the embedded Triton" in result.sentence and "proved equal" in result.sentence
    x = np.arange(4, dtype=np.float32)[None, None]
    assert (load(Format.ONNX, result.path)({"x": x})["y"] == x[..., :3] + 0.5).all()
    (tmp_path / "work").rename(tmp_path / "earlier")
    assert made(built(tmp_path / "n.onnx", "y = Relu(x)", ir=3, opset=6), embedded()) is None


INTEGERS = ("int8", "int16", "uint8", "uint16", "uint32", "uint64")


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul"])
def test_what_wraps_around_still_does_in_a_wider_type(tmp_path: Path, operator: str, kind: str) -> None:
    """At the ends of the types, as numpy has it: no 24.10 has kernels for these."""
    path = built(tmp_path / "m.onnx", f"y = {operator}(x, z)", ir=8, opset=14, kind=kind, more=f", {kind}[3,4] z")
    changes = lower(path, tmp_path / "o.onnx", Needs(8, 14, 3), onnxruntime="1.19.2")
    assert changes.cast == {operator} and operators_without(tmp_path / "o.onnx", "1.19.2") == []
    ends = np.iinfo(kind)
    x = np.resize(np.array([ends.min, ends.max, 0, 1, ends.max // 2 + 1], kind), (3, 4))
    z = np.resize(np.array([ends.max, 3, 1], kind), (4, 3)).T
    want = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}[operator](x, z)
    assert (load(Format.ONNX, tmp_path / "o.onnx")({"x": x, "z": z})["y"] == want).all()


@pytest.mark.parametrize(
    ("nodes", "kind", "target", "words"),
    [
        ("y = Add(x, x)", "int8", OLD, "made for Triton 24.10: Add run in a wider type; proved equal on"),
        ("y = Max(x, x)", "int16", embedded(), "made for the embedded Triton 2.51.0: Max run in a wider type"),
        ("b = Less(x, x) y = Where(b, x, x)", "uint64", OLD, "made for Triton 24.10: Less replaced by"),
        ("y = Div(x, x)", "uint64", OLD, None),
        ("y = Gemm(x, w)", "int32", OLD, None),
        ("y = Add(x, x)", "float", OLD, None),
    ],
)
def test_what_has_no_kernel_for_its_type_is_run_in_a_wider_one(
    tmp_path: Path, nodes: str, kind: str, target: Release, words: str | None
) -> None:
    """Where that is equal; what cannot be served so stays as it is, for a GPU, too."""
    path = built(tmp_path / "m.onnx", nodes, ir=8, opset=16, kind=kind, more=f", {kind}[4,4] w" if "w" in nodes else "")
    result = made(path, target)
    assert (result and words and result.sentence.startswith(words)) if words else result is None
    model = stage(path)
    (tmp_path / "gpu").mkdir()
    assert asked(model, {path.name: path}, [], target, tmp_path / "gpu", gpus=True) is None
    assert not unfit(model, target, gpus=True)


def test_an_older_version_of_an_operator_may_have_the_kernel(tmp_path: Path) -> None:
    text = '<ir_version: 10, opset_import: ["": 22]> g (float[1,2,4,4] x) => (float[1,2,1,1] y) { y = GlobalLpPool(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    result = made(tmp_path / "m.onnx", embedded())
    assert result is not None and versions(result.path) == (10, 21)
    assert "made IR 10, opset 21 for the embedded Triton 2.51.0, from IR 10, opset 22" in result.sentence


@pytest.mark.parametrize(
    ("nodes", "kind", "x", "z"),
    [
        ('y = BitShift <direction = "RIGHT"> (x, z)', "int8", [-128, -1, 64, 127], [1, 9, -1, 3]),
        ('y = BitShift <direction = "LEFT"> (x, z)', "int16", [-3, 1, 255, 8], [2, 15, 16, -4]),
        ("y = Mod <fmod = 0> (x, z)", "float", [-7.5, 7.5, -0.25, 3.0], [2.0, -2.0, np.inf, 1.0]),
        ("a = Constant <value = int64 {-1}> () h = CumProd <exclusive = 1, reverse = 1> (x, a) y = Mul(h, z)", "int32",
         [2, 3, -1, 4], [1, 1, 1, 1]),
        ("h = BitCast <to = 4> (x) i = BitCast <to = 5> (h) y = Add(i, z)", "int16", [-1, 5, -32768, 7], [1, 1, 1, 1]),
    ],
)  # fmt: skip
def test_what_onnx_defines_in_words_only_is_written_in_other_operators(
    tmp_path: Path, nodes: str, kind: str, x: list[float], z: list[float]
) -> None:
    path = built(tmp_path / "m.onnx", nodes, kind=kind, more=f", {kind}[3,4] z")
    lower(path, tmp_path / "o.onnx", Needs(10, 21, 5), onnxruntime="1.19.2")
    assert operators_without(tmp_path / "o.onnx", "1.19.2") == []
    dtype = {"float": np.float32}.get(kind, kind)
    given = {"x": np.resize(np.array(x, dtype), (3, 4)), "z": np.resize(np.array(z, dtype), (3, 4))}
    want, got = reference(path)(given)["y"], load(Format.ONNX, tmp_path / "o.onnx")(given)["y"]
    np.testing.assert_array_equal(got, want)


def test_a_recurrent_layer_with_the_batch_first_gets_transpositions(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 14]> g (float[3,5,2] x, float[1,18,2] w, float[1,18,6] r) =>
    (float[3,5,1,6] y, float[3,1,6] h) { y, h = GRU<hidden_size = 6, layout = 1>(x, w, r) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    result = made(tmp_path / "m.onnx", embedded())
    assert result is not None and "GRU replaced" in result.sentence and "proved equal" in result.sentence


def test_a_size_of_zero_is_left_open(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[2,0] x, float[2,3] z) => (float[2,w] y) { y = Concat<axis=1>(x, z) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    result = made(tmp_path / "m.onnx", embedded())
    assert result is not None and result.sentence == "the size 0 of x is left open"
    assert read_signature(result.path)[1].inputs[0].shape == (2, "x_1")
    assert opened(stage(tmp_path / "m.onnx").signature) == read_signature(result.path)[1]


def test_what_answers_by_chance_keeps_its_operators_and_says_so(tmp_path: Path) -> None:
    path = built(tmp_path / "m.onnx", "h = RandomUniformLike(x) y = Add(h, x)")
    assert "not proved by running it: its operator RandomUniformLike answers by chance" in made(path).sentence


def test_weights_in_another_file_stay_there(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["h"]), helper.make_node("Swish", ["h"], ["y"])], "g", [x], [y], [weight]
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    model = Stage(
        "s",
        Task.OTHER,
        Format.ONNX,
        "m.onnx",
        ("m.onnx", "w.bin"),
        read_signature(path)[1],
        needs=needs(path, Format.ONNX),
    )
    (tmp_path / "work").mkdir()
    result = asked(model, {"m.onnx": path, "w.bin": tmp_path / "w.bin"}, [], OLD, tmp_path / "work")
    assert onnx.load(result.path, load_external_data=False).graph.initializer[0].external_data
    assert (result.path.parent / "w.bin").is_file()
    x_value = np.ones((2, 4), np.float32)
    want = reference(path)({"x": x_value})["y"]
    np.testing.assert_allclose(load(Format.ONNX, result.path)({"x": x_value})["y"], want, rtol=1e-5)


def test_an_operator_of_another_domain_is_left_alone_and_a_deep_one_is_refused(tmp_path: Path) -> None:
    path = built(tmp_path / "m.onnx", "y = BitCast <to = 1> (x)", ir=13, opset=26)
    with pytest.raises(NotLowerableError):
        lower(path, tmp_path / "o.onnx", Needs(10, 21, 5))
    assert not (tmp_path / "o.onnx").exists()
