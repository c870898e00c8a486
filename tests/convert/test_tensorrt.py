"""Engines are really built, by TensorRT-RTX for a GPU that is not here; what needs that GPU says so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.support import networks as models
from tests.support.converting import artefact, samples
from tritonpm.convert import runtimes, tensorrt, tensorrt_layers
from tritonpm.convert.conversion import (
    Artefact,
    CancelledError,
    Conversion,
    ConversionError,
    NotTakenError,
    Options,
    Unwatched,
)
from tritonpm.convert.converters import converter
from tritonpm.convert.rewrite import make_batchable
from tritonpm.convert.running import NotRunnableError
from tritonpm.convert.tensorrt_shapes import profile_of
from tritonpm.core.errors import UsageError
from tritonpm.core.types import Format, Gpu, Step, Tensor
from tritonpm.settings.shapes import ShapeRange, parse_shape

ADA = Gpu.named("8.9")


def built(
    source: Artefact | Path, folder: Path, *, gpu: Gpu | None = ADA, watch: object = None, **told: object
) -> Conversion:
    folder.mkdir(exist_ok=True)
    given = artefact(source) if isinstance(source, Path) else source
    return tensorrt.convert(given, Options(**told), gpu, folder, watch or Unwatched())  # type: ignore[arg-type]


def test_an_engine_is_built_and_its_record_tells_all(tmp_path: Path) -> None:
    conversion = built(models.dense(tmp_path / "m.onnx"), tmp_path / "out", max_batch_size=16)
    plan = conversion.artefact.model
    details = conversion.record.details
    assert (plan.name, conversion.artefact.format) == ("model.plan", Format.TENSORRT)
    assert details["bytes"] == plan.stat().st_size > 1000
    assert details["profile"] == {"x": [[1, 16], [8, 16], [16, 16]]}
    assert (details["flavour"], details["compute_capability"]) == ("TensorRT-RTX", "8.9")
    assert conversion.record.tools["TensorRT-RTX"] == details["version"]
    layers = details["layers"]
    assert len(layers) >= 3  # type: ignore[arg-type]
    assert all(re.match("FP32", precision) for *_, precision in layers if precision)  # type: ignore[union-attr]


def test_a_resnet_is_built_for_every_batch(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes((models.LIGHT / "light_resnet50.onnx").read_bytes())
    conversion = built(make_batchable(Format.ONNX, source), tmp_path / "out", max_batch_size=16)
    assert conversion.record.details["profile"] == {
        "gpu_0/data_0": [[1, 3, 224, 224], [8, 3, 224, 224], [16, 3, 224, 224]]
    }


@pytest.mark.parametrize(("step", "precision"), [("onnx-fp16", "FP16"), ("onnx-int8", "INT8")])
def test_the_precision_is_that_of_the_graph(step: str, precision: str, tmp_path: Path) -> None:
    """The heavy layers of the engine compute in what the graph was converted to."""
    source = artefact(models.dense(tmp_path / "m.onnx", width=64))
    (tmp_path / "graph").mkdir()
    options = Options(samples=samples(tmp_path, width=64))
    graph = converter(step)(source, options, None, tmp_path / "graph", Unwatched()).artefact
    layers = built(graph, tmp_path / "out").record.details["layers"]
    assert precision in {each[3] for each in layers}  # type: ignore[union-attr]


def test_dynamic_dimensions_need_their_range(tmp_path: Path) -> None:
    source = models.convolution(tmp_path / "m.onnx")
    with pytest.raises(
        ConversionError, match=r"input 'image' \(batchx3xheightxwidth\) has dynamic dimensions.*--shape"
    ):
        built(source, tmp_path / "out")
    name, shapes = parse_shape("image=1x3x16x16:4x3x32x32:8x3x64x64")
    conversion = built(source, tmp_path / "out2", shapes={name: shapes})
    assert conversion.record.details["profile"] == {"image": [[1, 3, 16, 16], [4, 3, 32, 32], [8, 3, 64, 64]]}
    with pytest.raises(ConversionError, match="1x4x16x16 does not fit input 'image'"):
        built(source, tmp_path / "out3", shapes={"image": ShapeRange(*[(1, 4, 16, 16)] * 3)})
    with pytest.raises(ConversionError, match="there is no input 'picture'"):
        built(source, tmp_path / "out4", shapes={"picture": shapes, "image": shapes})


def test_a_range_must_take_what_triton_may_send(tmp_path: Path) -> None:
    source = models.convolution(tmp_path / "m.onnx")
    for text in ("image=1x3x8x8:2x3x8x8:8x3x8x8", "image=2x3x8x8:2x3x8x8:16x3x8x8"):
        with pytest.raises(ConversionError, match="Triton may send 1 to 16"):
            built(source, tmp_path / "out", shapes=dict([parse_shape(text)]), max_batch_size=16)


def test_a_shape_tensor_is_refused_in_a_sentence(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], "reshape")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4])
    shape = helper.make_tensor_value_info("shape", TensorProto.INT64, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])
    graph = helper.make_graph(nodes, "g", [x, shape], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match="input 'shape' is a shape tensor"):
        built(tmp_path / "m.onnx", tmp_path / "out")


def test_external_weights_are_found(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((16, 16), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    source = models.save(
        tmp_path / "m.onnx", nodes, [weight], 16, save_as_external_data=True, location="w.data", size_threshold=0
    )
    assert built(source, tmp_path / "out").record.details["bytes"]


def test_an_operator_that_it_does_not_know_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", ["m"], ["d"], "determinant"), helper.make_node("Add", ["x", "d"], ["y"], "add")]
    matrix = numpy_helper.from_array(np.eye(4, dtype=np.float32), "m")
    models.save(tmp_path / "m.onnx", nodes, [matrix], 4)
    with pytest.raises(NotTakenError, match="does not take it: Det 'determinant'"):
        built(tmp_path / "m.onnx", tmp_path / "out")


def test_options_are_told_to_the_builder(tmp_path: Path) -> None:
    source = models.dense(tmp_path / "m.onnx")
    details = built(
        source, tmp_path / "out", workspace_bytes=64 << 20, builder_level=1,
        timing_cache=str(tmp_path / "timing"),
    ).record.details  # fmt: skip
    assert (details["workspace_bytes"], details["builder_level"]) == (64 << 20, 1)
    for told in ({"hardware_compatible": True}, {"version_compatible": True}):
        with pytest.raises(
            ConversionError, match=r"TensorRT-RTX .* has no .*-compatible engines; leave the option out"
        ):
            built(source, tmp_path / "no", **told)
    assert "has none" in str(details["timing_cache"])
    with pytest.raises(ConversionError, match="the plugin does not exist"):
        built(source, tmp_path / "out2", plugins=(str(tmp_path / "none.so"),))


def test_a_gpu_must_be_named_and_known(tmp_path: Path) -> None:
    source = models.dense(tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match="there is none here; name one with --compute-capability"):
        built(source, tmp_path / "out", gpu=None)
    with pytest.raises(ConversionError, match=r"does not build for compute capability 9.0; it builds for 7.5, 8.0"):
        built(source, tmp_path / "out", gpu=Gpu.named("9.0"))


def test_progress_grows_within_each_phase_and_a_wish_to_stop_is_heard(tmp_path: Path) -> None:
    class Watch:
        def __init__(self, stop_after: int) -> None:
            self.heard: list[tuple[str, int, int]] = []
            self.stop_after = stop_after

        @property
        def cancelled(self) -> bool:
            return len(self.heard) >= self.stop_after

        def report(self, step: str, done: int, total: int) -> None:
            self.heard.append((step, done, total))

    watch = Watch(10**9)
    source = models.dense(tmp_path / "m.onnx")
    built(source, tmp_path / "out", watch=watch)
    assert len({step for step, *_ in watch.heard}) > 5
    assert all(0 <= done <= total or total == 0 for _, done, total in watch.heard)
    early = Watch(8)
    with pytest.raises(CancelledError):
        built(source, tmp_path / "out2", watch=early)
    assert len(early.heard) < len(watch.heard)


def test_without_its_gpu_an_engine_is_not_run(tmp_path: Path) -> None:
    conversion = built(models.dense(tmp_path / "m.onnx"), tmp_path / "out")
    try:
        tensorrt_layers.require_gpu()
    except NotRunnableError:
        with pytest.raises(NotRunnableError, match="there is no GPU here"):
            runtimes.load(Format.TENSORRT, conversion.artefact.model)
    else:
        assert callable(runtimes.load(Format.TENSORRT, conversion.artefact.model))


RTX = ("TensorRT-RTX", "1.7.1")


def record(**details: object) -> Step:
    told = {"flavour": RTX[0], "version": RTX[1], "compute_capability": "8.9", **details}
    return Step("tensorrt", {}, told)


@pytest.mark.parametrize(
    ("step", "installed", "gpus", "words"),
    [
        (record(), RTX, ["8.9"], ""),
        (record(), RTX, [], ""),
        (record(), None, [], ""),
        (record(), ("TensorRT", "10.9"), ["8.9"], ""),  # another toolkit says nothing about this engine
        (record(), (RTX[0], "1.8.0"), ["8.9"], "built by TensorRT-RTX 1.7.1, and 1.8.0 is here"),
        (record(flavour="TensorRT", version_compatible=True), ("TensorRT", "1.8.0"), ["8.9"], ""),
        (record(flavour="TensorRT", version_compatible=True), ("TensorRT", "1.6.0"), ["8.9"], "and 1.6.0 is here"),
        (record(), RTX, ["8.6"], "for compute capability 8.9, and the GPU here has 8.6"),
        (record(), RTX, ["8.9", "12.0"], "has 12.0, 8.9"),
        (record(hardware_compatible=True), RTX, ["8.6", "12.0"], ""),
        (record(hardware_compatible=True), RTX, ["7.5"], "has 7.5"),
    ],
)
def test_an_engine_that_does_not_fit_is_stale(
    step: Step, installed: tuple[str, str] | None, gpus: list[str], words: str
) -> None:
    said = tensorrt.stale(step, installed, [Gpu.named(each) for each in gpus])
    assert (words in said) if words else said == ""


SIZES = st.lists(st.integers(1, 4096), min_size=1, max_size=6)


@given(SIZES, st.data())
def test_a_range_that_grows_is_read_as_it_was_written(least: list[int], data: st.DataObject) -> None:
    grow = st.lists(st.integers(0, 100), min_size=len(least), max_size=len(least))
    best = [a + b for a, b in zip(least, data.draw(grow), strict=True)]
    most = [a + b for a, b in zip(best, data.draw(grow), strict=True)]
    text = "a=b=" + ":".join("x".join(map(str, sizes)) for sizes in (least, best, most))
    assert parse_shape(text) == ("a=b", ShapeRange(tuple(least), tuple(best), tuple(most)))


@given(st.text(max_size=40))
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    try:
        name, shapes = parse_shape(text)
    except UsageError as error:
        assert "--shape" in str(error) or "LEAST" in str(error)
    else:
        assert name
        assert shapes.least <= shapes.best <= shapes.most


@pytest.mark.parametrize(
    "text", ["image", "image=", "=1x2", "image=0x3", "image=1x3:1x3", "i=2x3:1x3:4x3", "i=1x2:1:1", "i=1x-3"]
)
def test_wrong_ranges(text: str) -> None:
    with pytest.raises(UsageError):
        parse_shape(text)


@given(st.integers(1, 128))
def test_the_batch_of_a_profile_is_what_triton_may_send(most: int) -> None:
    shapes = profile_of(Tensor("x", "FP32", ("batch", 3)), most, None)
    assert shapes is not None
    assert shapes.least[0] == 1 <= shapes.best[0] <= shapes.most[0] == most
    assert profile_of(Tensor("x", "FP32", (1, 3)), most, None) is None


def test_layers_are_read_from_what_a_build_and_the_inspector_say() -> None:
    said = (
        "Layers:\nName: a, LayerType: gemm, Inputs: [ { Name: x, Datatype: Int8 }], Constants: [], "
        "Outputs: [ { Name: y, Datatype: Half }], TacticName: t, StreamId: 0, Metadata: \nnothing"
    )
    assert [(e.name, e.kind, e.kernel, e.precision) for e in tensorrt_layers.from_log(["x", said])] == [
        ("a", "gemm", "t", "FP16")
    ]
    told = '{"Layers": [{"Name": "b", "LayerType": "conv", "TacticName": "u", "Outputs": [{"Format/Datatype": "Int8 NC/32HW32"}]}, {"Name": "d", "Outputs": [{"Format/Datatype": "Row major linear FP32"}]}, "c"]}'
    assert [(e.name, e.precision) for e in tensorrt_layers.from_inspector(told)] == [
        ("b", "INT8"),
        ("d", "FP32"),
        ("c", ""),
    ]
