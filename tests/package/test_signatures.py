"""Signatures against the runtimes' own: what onnxruntime and OpenVINO say of a model is what was read of its file."""

from __future__ import annotations

import json
import mmap
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.support.archives import IR, MODEL, PLAN, external, folder, model, value
from tritonpm.core.errors import PackageError
from tritonpm.core.types import Format, Needs, Tensor, dims
from tritonpm.package import Limits, read, read_signature
from tritonpm.package.labels import from_metadata
from tritonpm.package.opsets import Opsets
from tritonpm.package.signature import inspect_model
from tritonpm.package.signature.onnx import skimmed
from tritonpm.package.signature.wire import relocate

SMALL = ("light_densenet121", "light_shufflenet", "light_squeezenet")
LIGHT = [
    pytest.param(path, id=path.stem, marks=() if path.stem in SMALL else pytest.mark.long)
    for path in sorted(Path(onnx.__file__).parent.glob("backend/test/data/light/*.onnx"))
]
TYPES = {
    "tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(float16)": "FP16", "tensor(int64)": "INT64",
    "tensor(int32)": "INT32", "tensor(string)": "BYTES", "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8",
}  # fmt: skip


def written(tmp_path: Path, made: onnx.ModelProto) -> Path:
    return folder(tmp_path, {"m.onnx": made.SerializeToString()}) / "m.onnx"


@pytest.mark.parametrize("path", LIGHT)
def test_real_networks_read_as_onnxruntime_reads_them(path: Path) -> None:
    format, signature = read_signature(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert format is Format.ONNX
    for own, theirs in ((signature.inputs, session.get_inputs()), (signature.outputs, session.get_outputs())):
        assert [(t.name, t.dtype, t.shape) for t in own] == [(t.name, TYPES[t.type], tuple(t.shape)) for t in theirs]


def test_there_are_real_networks() -> None:
    assert len(LIGHT) >= 9


def test_dimensions_keep_their_names(tmp_path: Path) -> None:
    shapes: list[Any] = [("batch", 3, "h", None), (), None, (0, 2)]
    made = model(inputs=[value(f"i{n}", shape) for n, shape in enumerate(shapes)])
    read = read_signature(written(tmp_path, made))[1].inputs
    assert [tensor.shape for tensor in read] == [("batch", 3, "h", "?"), (), None, (0, 2)]
    assert dims(read[0].shape or ()) == (-1, 3, -1, -1)


def test_every_type_that_triton_knows(tmp_path: Path) -> None:
    kinds = {
        "FLOAT": "FP32", "DOUBLE": "FP64", "FLOAT16": "FP16", "BFLOAT16": "BF16", "STRING": "BYTES", "BOOL": "BOOL",
        "INT8": "INT8", "INT16": "INT16", "INT32": "INT32", "INT64": "INT64",
        "UINT8": "UINT8", "UINT16": "UINT16", "UINT32": "UINT32", "UINT64": "UINT64",
    }  # fmt: skip
    made = model(inputs=[value(name, (1,), TensorProto.DataType.Value(name)) for name in kinds])
    read = read_signature(written(tmp_path, made))[1].inputs
    assert {tensor.name: tensor.dtype for tensor in read} == kinds


def test_weights_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    made = model(inputs=[value("x"), value("w", (3,))], ir_version=3, opset_imports=[helper.make_opsetid("", 8)])
    assert [tensor.name for tensor in read_signature(written(tmp_path, made))[1].inputs] == ["x"]


@pytest.mark.parametrize(
    "text", ["{0: 'cat', 1: 'dog'}", '["cat", "dog"]', "cat,dog", "cat\ndog\n", '{"1": "dog", "0": "cat"}']
)
def test_labels_of_the_metadata(text: str, tmp_path: Path) -> None:
    made = model()
    made.metadata_props.add(key="names", value=text)
    assert read_signature(written(tmp_path, made))[1].labels == ("cat", "dog")


@pytest.mark.parametrize(
    "text", ["", "{", "[1, [2]", "(" * 100_000, "{'a': 'b', 3: 'c'}", "[]", "a,,b", "7", "a,\x00b"]
)
def test_labels_that_are_none(text: str) -> None:
    assert from_metadata({"names": text}) == ()


def test_a_models_own_functions_are_no_unknown_domain(tmp_path: Path) -> None:
    function = helper.make_function(
        "mine", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    made = model(nodes=[helper.make_node("F", ["x"], ["y"], domain="mine")], functions=[function])
    made.opset_import.add(domain="mine", version=1)
    assert read_signature(written(tmp_path, made))[0] is Format.ONNX


def test_external_data_beside_the_model_is_accepted(tmp_path: Path) -> None:
    made = external("w.bin", offset="4", length="12")
    folder(tmp_path, {"w.bin": bytes(16)})
    assert read_signature(written(tmp_path, made))[1].outputs == (Tensor("y", "FP32", ("batch", 3)),)


def test_the_walk_keeps_what_onnx_reads(tmp_path: Path) -> None:
    large = model(
        initializer=[helper.make_tensor("w", TensorProto.FLOAT, [3], np.ones(3, np.float32).tobytes(), raw=True)]
    )
    assert (
        read_signature(written(tmp_path, large))[1] == read_signature(folder(tmp_path, {"n.onnx": MODEL}) / "n.onnx")[1]
    )


@pytest.mark.parametrize("path", LIGHT)
def test_types_are_those_of_the_whole_model(path: Path) -> None:
    """What follows from a graph without its weights is what follows from it with them."""

    def types(model: Any) -> list[tuple[str, dict[str, str]]]:
        opsets = Opsets.of(model, Needs())
        return [(node.op_type, opsets.binding(node, opsets.new(node))) for node in opsets.nodes()]

    assert types(skimmed(path, path.name, Limits())) == types(onnx.load(path))


@pytest.mark.parametrize(
    ("ending", "is_one"),
    [
        ("y = Softmax(x)", True),
        ("y = Relu(x)", False),
        ("p = Softmax(x) y = Relu(p)", False),
    ],
)
def test_a_model_that_ends_in_a_softmax_is_known_by_it(ending: str, is_one: bool, tmp_path: Path) -> None:
    text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[2,3] x) => (float[2,3] y) {{ {ending} }}'
    path = written(tmp_path, onnx.parser.parse_model(text))
    assert inspect_model(path, "it", Limits()).softmax is is_one


def as_openvino_sees(path: Path) -> list[tuple[str, int | None]]:
    import openvino

    read = openvino.Core().read_model(path)
    return [
        (min(t.names), t.partial_shape.rank.get_length() if t.partial_shape.rank.is_static else None)
        for t in (*read.inputs, *read.outputs)
    ]


def test_ir_reads_as_openvino_reads_it(tmp_path: Path) -> None:
    import openvino
    from openvino import opset13

    node = opset13.parameter([-1, 3, -1, 224], np.float32, name="image")
    node.output(0).set_names({"zeta", "alpha", "with,comma"})
    node.set_layout(openvino.Layout("NCHW"))
    relu = opset13.relu(node)
    relu.output(0).set_names({"out"})
    total = opset13.reduce_sum(relu, opset13.constant(np.array([0, 1, 2, 3])), keep_dims=False)
    network = openvino.Model([relu, total, relu], [node], "net")
    network.set_rt_info("cat wild_dog", ["model_info", "labels"])
    path = tmp_path / "net.xml"
    openvino.save_model(network, path)
    format, signature = read_signature(path)
    read = [*signature.inputs, *signature.outputs]
    assert format is Format.OPENVINO
    assert [(t.name, None if t.shape is None else len(t.shape)) for t in read] == as_openvino_sees(path)
    assert signature.inputs == (Tensor("alpha", "FP32", ("?", 3, "?", 224), layout="NCHW"),)
    assert signature.labels == ("cat", "wild_dog")


@pytest.mark.parametrize("version", ["10", "11"])
def test_both_versions_of_ir(version: str, tmp_path: Path) -> None:
    text = IR.replace('version="11"', f'version="{version}"')
    if version == "10":
        text = text.replace(' names="x"', "").replace(' names="y"', "").replace('name="add"', 'name="y"')
    path = folder(tmp_path, {"n.xml": text, "n.bin": bytes(12)}) / "n.xml"
    signature = read_signature(path)[1]
    assert [t.name for t in (*signature.inputs, *signature.outputs)] == ["x", "y"]


def test_an_unknown_rank_stays_unknown(tmp_path: Path) -> None:
    import openvino
    from openvino import opset13

    node = opset13.parameter(openvino.PartialShape.dynamic(), np.int64, name="x")
    openvino.save_model(openvino.Model([opset13.relu(node)], [node]), tmp_path / "d.xml")
    signature = read_signature(tmp_path / "d.xml")[1]
    assert signature.inputs == (Tensor("x", "INT64", None),)
    assert signature.outputs[0].shape is None


@given(st.data())
def test_a_relocated_model_differs_in_its_locations_only(data: st.DataObject) -> None:
    """Weights anywhere: initializers, sparse ones, attributes, subgraphs, functions and their defaults, training."""
    names = st.sampled_from(["a", "b" * 200, "nested/c"])
    made = model()
    branch = helper.make_graph([], "b", [], [value("y")], [_weights(data.draw(names))])
    made.graph.node.add(op_type="If").attribute.append(helper.make_attribute("then_branch", branch))
    made.graph.node.add(op_type="Constant").attribute.append(helper.make_attribute("value", _weights(data.draw(names))))
    made.graph.initializer.append(_weights(data.draw(names)))
    made.graph.sparse_initializer.add().values.CopyFrom(_weights(data.draw(names)))
    made.training_info.add().algorithm.initializer.append(_weights(data.draw(names)))
    made.functions.add(name="f").attribute_proto.append(helper.make_attribute("v", _weights(data.draw(names))))
    places = {"a": "weights-1.bin", "b" * 200: "w", "nested/c": "x" * 300}
    with tempfile.TemporaryFile() as file:
        file.write(made.SerializeToString())
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            after = onnx.ModelProto.FromString(b"".join(relocate(raw, places, "m.onnx", Limits())))
    text = str(made)
    for old, new in places.items():
        text = text.replace(f'value: "{old}"', f'value: "{new}"')
    assert str(after) == text


def _weights(location: str) -> onnx.TensorProto:
    return external(location, length="12").graph.initializer[0]


ENGINE = """
schema: 1
name: parts
version: "1"
stages:
  - name: detect
    task: object-detection
    model: parts.engine
    signature:
      inputs: [{name: images, dtype: FP32, shape: [1, 3, 320, 640]}]
      outputs: [{name: output0, dtype: FP32, shape: [1, 6, 4200]}]
"""


def test_what_ultralytics_writes_before_a_plan_is_read_and_cut_off(tmp_path: Path) -> None:
    told = {"author": "Ultralytics", "task": "detect", "imgsz": [320, 640], "names": {"0": "bolt", "1": "nut"}}
    before = json.dumps(told).encode()
    source = tmp_path / "in"
    for written, good in ((before, True), (before + b" " * (5 << 20), False), (b"{" * 90_000, False), (b"[1]", False)):
        folder(source, {"package.yaml": ENGINE, "parts.engine": len(written).to_bytes(4, "little") + written + PLAN})
        staging = tmp_path / str(len(written))
        staging.mkdir()
        if not good:
            with pytest.raises(PackageError, match="is not a TensorRT plan"):
                read(source, staging, allow_code=True)
            continue
        stage = read(source, staging, allow_code=True).stages[0]
        assert (staging / stage.model).read_bytes() == PLAN
        assert stage.signature.labels == ("bolt", "nut")
        said = stage.inferred["Ultralytics"]
        assert (said["preprocess"]["resize"], said["decode"]["kind"]) == ("letterbox", "yolov8")
