"""What the backends load, complete and refuse, on the real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper

from tests.support.backend_models import DTYPES, config, every_dtype, model, one, xy
from tritonpm.core.errors import InferenceError, ServerError

pytestmark = pytest.mark.server
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def ir(path: Path, source: onnx.ModelProto, *, layout: str = "") -> None:
    """Write a model as OpenVINO IR, with a layout for every input and output where it is given."""
    read = ov.Core().read_model(source.SerializeToString())
    for port in (*read.inputs, *read.outputs) if layout else ():
        port.node.layout = ov.Layout(layout)
    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(read, path, compress_to_fp16=False)


def dims(tensors: list[dict[str, object]]) -> dict[object, list[int]]:
    return {tensor["name"]: [int(size) for size in tensor["dims"]] for tensor in tensors}  # type: ignore[attr-defined]


def test_without_a_config_onnx(triton):
    triton.load("bare", one("Neg", ["batch", 3, "n"]))
    done = triton.client.config("bare")
    assert (done["backend"], done["max_batch_size"], "dynamic_batching" in done) == ("onnxruntime", 4, True)
    assert dims(done["input"]) == {"x": [3, -1]}
    assert done["input"][0]["data_type"] == "TYPE_FP32"
    x = np.ones((2, 3, 5), np.float32)
    np.testing.assert_array_equal(triton.infer("bare", x=x)["y"], -x)


def test_without_a_config_onnx_that_takes_no_batches(triton):
    triton.load("bare-static", one("Neg", [2, 3]))
    done = triton.client.config("bare-static")
    assert (done.get("max_batch_size", 0), "dynamic_batching" in done, dims(done["output"])) == (
        0,
        False,
        {"y": [2, 3]},
    )
    np.testing.assert_array_equal(triton.infer("bare-static", x=X)["y"], -X)


def test_without_a_config_scalars_and_vectors(triton):
    triton.load("bare-vector", one("Neg", ["batch"]))
    assert triton.client.config("bare-vector").get("max_batch_size", 0) == 0
    np.testing.assert_array_equal(triton.infer("bare-vector", x=np.float32([1, 2]))["y"], [-1, -2])
    assert triton.infer("bare-vector", x=np.empty(0, np.float32))["y"].shape == (0,)  # a batch would end the server
    triton.load("bare-scalar", one("Neg", []))
    np.testing.assert_array_equal(triton.infer("bare-scalar", x=np.float32([1]))["y"], [-1])


def test_without_a_config_openvino(triton):
    """IR says by its layout that a dimension is a batch; without one it is served as it is, in any batch."""
    ir(triton.repository / "bare-ir/1/model.xml", one("Neg", ["batch", 3]))
    triton.load("bare-ir")
    done = triton.client.config("bare-ir")
    assert (done["backend"], done.get("max_batch_size", 0)) == ("openvino", 0)
    assert dims(done["input"]) == {"x": [-1, 3]}
    np.testing.assert_array_equal(triton.infer("bare-ir", x=X)["y"], -X)
    ir(triton.repository / "bare-layout/1/model.xml", one("Neg", ["batch", 3]), layout="NC")
    triton.load("bare-layout")
    done = triton.client.config("bare-layout")
    assert (done["max_batch_size"], "dynamic_batching" in done, dims(done["input"])) == (4, True, {"x": [3]})
    np.testing.assert_array_equal(triton.infer("bare-layout", x=X)["y"], -X)


def test_what_a_config_says_is_kept(triton, backend):
    """A partial config with the batch among its dims stays without max_batch_size; one without it gets one."""
    given = f'backend: "{backend}"\noutput {{ name: "y" data_type: TYPE_FP32 dims: [-1, 3] }}\n'
    triton.load(f"partial-whole-{backend}", one("Neg"), given)
    done = triton.client.config(f"partial-whole-{backend}")
    assert (done.get("max_batch_size", 0), dims(done["input"])) == (0, {"x": [-1, 3]})
    given = f'backend: "{backend}"\nmax_batch_size: 7\noutput {{ name: "y" data_type: TYPE_FP32 dims: [3] }}\n'
    triton.load(f"partial-{backend}", one("Neg"), given)
    done = triton.client.config(f"partial-{backend}")
    assert (done["max_batch_size"], dims(done["input"])) == (7, {"x": [3]})
    np.testing.assert_array_equal(triton.infer(f"partial-{backend}", x=X)["y"], -X)


def test_a_config_is_completed_around_any_text(triton, backend):
    """Quotes, control characters and all of Unicode come back as they were."""
    words = 'a "quoted" \\ back\\slash, ü, 漢字, 🙂, \t and \x01'
    said = octal(words)
    given = f'backend: "{backend}"\nparameters {{ key: "told" value {{ string_value: "{said}" }} }}\n'
    triton.load(f"words-{backend}", one("Neg"), given)
    done = triton.client.config(f"words-{backend}")
    assert done["parameters"]["told"]["string_value"] == words
    assert dims(done["input"]) in ({"x": [3]}, {"x": [-1, 3]})


def octal(words: str) -> str:
    """As protobuf's text format writes bytes."""
    return "".join(f"\\{byte:03o}" for byte in words.encode())


def test_a_complete_config_is_not_touched(triton, backend):
    triton.load(f"complete-{backend}", one("Neg"), xy(backend, [-1, 3]))
    done = triton.client.config(f"complete-{backend}")
    assert (done.get("max_batch_size", 0), "dynamic_batching" in done) == (0, False)


def test_external_data_in_a_folder(triton):
    big = model(
        [helper.make_node("Add", ["x", "weights"], ["y"])],
        {"x": (TensorProto.FLOAT, ["batch", 3])},
        {"y": (TensorProto.FLOAT, ["batch", 3])},
        weights=np.float32([1, 2, 3]),
    )
    folder = triton.write("external", None, xy("onnxruntime", batch=4)) / "3/model.onnx"
    folder.mkdir(parents=True)
    onnx.save(big, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    triton.load("external")
    np.testing.assert_array_equal(triton.infer("external", x=X)["y"], X + np.float32([1, 2, 3]))


def test_a_file_of_another_name(triton, backend):
    text = xy(backend, batch=4) + ('default_model_filename: "other.onnx"\n' if backend == "onnxruntime" else "")
    triton.load(f"named-{backend}", one("Neg"), text, path="12/other.onnx")
    np.testing.assert_array_equal(triton.infer(f"named-{backend}", x=X)["y"], -X)


def test_openvino_text_handed_through(triton):
    """The input and the output are one tensor with two names."""
    text = config("openvino", {"x": ("STRING", [-1])}, {"y": ("STRING", [-1])})
    parameter = ov.opset13.parameter([-1], ov.Type.string, name="x")
    parameter.output(0).set_names({"x", "y"})
    result = ov.opset13.result(parameter)
    triton.write("ir-text", None, text, path="1/model.xml")
    ov.save_model(ov.Model([result], [parameter]), triton.repository / "ir-text/1/model.xml")
    if triton.kind == "compiled":  # OpenVINO frees text twice where a model hands it on, which would end the server
        with pytest.raises(ServerError, match="is text, which only the Python-based backend serves"):
            triton.load("ir-text")
        return
    triton.load("ir-text")
    words = np.array([b"a", "ö".encode(), b""], np.object_)
    np.testing.assert_array_equal(triton.infer("ir-text", x=words)["y"], words)


def test_openvino_converts_to_the_types_of_the_config(triton):
    text = config("openvino", {"x": ("FP16", [3])}, {"y": ("FP64", [3])}, batch=4)
    triton.load("converted", one("Neg"), text)
    answer = triton.infer("converted", x=X.astype(np.float16))["y"]
    assert answer.dtype == np.float64
    np.testing.assert_array_equal(answer, -X)


def test_openvino_int64_is_computed_in_32_bits(triton):
    """OpenVINO's own limit: the served answer is the bare runtime's."""
    tensor = {"in_INT64": ("INT64", [2])}, {"out_INT64": ("INT64", [2])}
    triton.load("int64", every_dtype(["INT64"]), config("openvino", *tensor, batch=4))
    sent = np.array([[2**31 - 1, -(2**31)], [2**40, 3]])
    compiled = ov.compile_model(ov.Core().read_model(every_dtype(["INT64"]).SerializeToString()), "CPU")
    np.testing.assert_array_equal(triton.infer("int64", in_INT64=sent)["out_INT64"], compiled(sent)[0])
    np.testing.assert_array_equal(triton.infer("int64", in_INT64=sent[:1])["out_INT64"], sent[:1])


def test_openvino_gives_a_static_model_the_configs_batch(triton):
    triton.load("batched", one("Neg", [1, 3]), xy("openvino", batch=4))
    np.testing.assert_array_equal(triton.infer("batched", x=X)["y"], -X)
    triton.load("reshaped", one("Neg", [1, 3]), xy("openvino", [-1, 2], RESHAPE_IO_LAYERS="yes"))
    np.testing.assert_array_equal(triton.infer("reshaped", x=X.reshape(3, 2))["y"], -X.reshape(3, 2))


PARAMETERS = {
    "onnxruntime": {
        "intra_op_thread_count": "2",
        "inter_op_thread_count": "1",
        "execution_mode": "1",
        "enable_mem_arena": "1",
        "memory.enable_memory_arena_shrinkage": "cpu:0",
        "enable_mem_pattern": "0",
        "session.intra_op.allow_spinning": "0",
    },
    "openvino": {
        "PERFORMANCE_HINT": "latency",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": "1",
        "COMPILATION_NUM_THREADS": "1",
        "INFERENCE_PRECISION_HINT": "f32",
        "HINT_BF16": "NO",
        "ENABLE_BATCH_PADDING": "YES",
        "SKIP_OV_DYNAMIC_BATCHSIZE": "YES",
        "TARGET_DEVICE": "CPU",
    },
}


def test_every_parameter(triton, backend):
    text = xy(backend, batch=8, more="optimization { graph { level: 1 } }", **PARAMETERS[backend])
    triton.load(f"parameters-{backend}", one("Neg"), text)
    np.testing.assert_array_equal(triton.infer(f"parameters-{backend}", x=X)["y"], -X)


def test_instances_are_processes_that_share_the_cores(triton, backend):
    text = xy(backend, batch=2, more="instance_group { count: 2 kind: KIND_CPU }")
    triton.load(f"instances-{backend}", one("Neg"), text)
    answers = triton.together(f"instances-{backend}", [{"x": X * value} for value in range(8)])
    for value, answer in enumerate(answers):
        np.testing.assert_array_equal(answer["y"], -X * value)


def test_streams_answer_side_by_side(triton):
    """Two streams of one instance: every answer is its request's own, and a bad request fails alone."""
    nodes = [helper.make_node("Reshape", ["x", "rows"], ["r"]), helper.make_node("MatMul", ["r", "weights"], ["y"])]
    product = model(
        nodes,
        {"x": (TensorProto.FLOAT, ["batch", "n"])},
        {"y": (TensorProto.FLOAT, ["batch", 256])},
        rows=np.array([-1, 256]),
        weights=np.ones((256, 256), np.float32),
    )
    text = xy("openvino", [-1], [256], batch=4, delay_us=1000, PERFORMANCE_HINT="THROUGHPUT", NUM_STREAMS="2")
    text = text.replace("dims: [-1]", "dims: [-1] allow_ragged_batch: true", 1)
    triton.load("streams", product, text)
    requests = [{"x": np.full((1, 256 if value % 7 else 5), value, np.float32)} for value in range(64)]
    for value, answer in enumerate(triton.together("streams", requests)):
        if value % 7:
            np.testing.assert_array_equal(answer["y"], np.full((1, 256), value * 256))
        else:
            assert isinstance(answer, InferenceError)
            assert "Exception from" not in str(answer)
    triton.client.unload_and_wait("streams")


START = (
    'sequence_batching { control_input { name: "START" '
    "control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] } } }"
)


def with_start(dtype: int, dims: list[int | str] | None = None) -> onnx.ModelProto:
    """A model with an input for a sequence's control."""
    shapes = {"x": (TensorProto.FLOAT, ["batch", 3]), "START": (dtype, dims or ["batch", 1])}
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Identity", ["START"], ["started"])]
    return model(nodes, shapes, {"y": shapes["x"], "started": shapes["START"]})


REFUSALS = {
    "no-file": (None, xy("onnxruntime"), "there is no model.onnx in its version folder 1"),
    "no-file-ir": (None, xy("openvino"), "there is no model.xml in its version folder 1"),
    "no-model": (b"text", xy("onnxruntime"), "ONNX Runtime cannot load model.onnx: "),
    "no-model-ov": (b"text", xy("openvino"), "OpenVINO cannot read model.onnx: "),
    "no-model-bare": (b"", "", "ONNX Runtime cannot load model.onnx: "),
    "input-name": (
        one("Neg"),
        config("onnxruntime", {"z": ("FP32", [3])}, {"y": ("FP32", [3])}, batch=4),
        "input 'z' is not in the model file, which has x",
    ),
    "output-name": (
        one("Neg"),
        config("openvino", {"x": ("FP32", [3])}, {"z": ("FP32", [3])}, batch=4),
        "output 'z' is not in the model file, which has y",
    ),
    "dtype": (
        one("Neg"),
        config("onnxruntime", {"x": ("INT8", [3])}, {"y": ("FP32", [3])}, batch=4),
        "input 'x' is TYPE_FP32 in the model file, TYPE_INT8 in the config",
    ),
    "dtype-text": (
        one("Neg"),
        config("openvino", {"x": ("STRING", [3])}, {"y": ("FP32", [3])}, batch=4),
        "input 'x' is TYPE_FP32 in the model file, TYPE_STRING in the config",
    ),
    "rank": (one("Neg"), xy("onnxruntime", [3, 3]), "has shape [-1, 3] in the model file, [3, 3] in the config"),
    "rank-ov": (one("Neg"), xy("openvino", [1, 3], batch=2), "has shape [-1, 3] in the model file, [-1, 1, 3] in the"),
    "dims": (one("Neg"), xy("openvino", [4], batch=4), "has shape [-1, 3] in the model file, [-1, 4] in the config"),
    "output-dims": (
        one("Neg", ["batch", "n"]),
        xy("onnxruntime", [-1], [4], batch=4),
        "output 'y' has shape [-1, -1] in the model file, [-1, 4] in the config",
    ),
    "no-batches": (one("Neg", [1, 3]), xy("onnxruntime", batch=4), "max_batch_size must be 0"),
    "no-batches-bare": (
        one("Neg", [1, 3]),
        'backend: "onnxruntime"\nmax_batch_size: 4\n',
        "the model file takes no batches, so max_batch_size must be 0",
    ),
    "no-batches-ov": (
        model(
            [helper.make_node("Reshape", ["x", "shape"], ["y"])],
            {"x": (TensorProto.FLOAT, [1, 3])},
            {"y": (TensorProto.FLOAT, [1, 3])},
            shape=np.array([1, 3]),
        ),
        xy("openvino", batch=4),
        "max_batch_size",
    ),
    "left-out": (
        every_dtype(["FP32", "INT8"]),
        config("onnxruntime", {"in_FP32": ("FP32", [2])}, {"out_FP32": ("FP32", [2])}, batch=4),
        "the config leaves out the input 'in_INT8' of the model file",
    ),
    "not-optional": (
        one("Neg", [3]),
        xy("onnxruntime").replace("dims: [3]", "dims: [3] optional: true", 1),
        "input 'x' is optional in the config, but the model file needs it",
    ),
    "number": (one("Neg"), xy("onnxruntime", batch=4, intra_op_thread_count="many"), "is 'many', expected a number"),
    "mode": (one("Neg"), xy("onnxruntime", batch=4, execution_mode="2"), "execution_mode is '2', expected 0"),
    "switch": (one("Neg"), xy("openvino", batch=4, RESHAPE_IO_LAYERS="maybe"), "is 'maybe', expected 0 or 1"),
    "hint": (
        one("Neg"),
        xy("openvino", batch=4, PERFORMANCE_HINT="SPEED"),
        "OpenVINO cannot compile the model for CPU",
    ),
    "device": (
        one("Neg"),
        xy("openvino", batch=4, TARGET_DEVICE="NPU.9"),
        "OpenVINO cannot compile the model for NPU.9",
    ),
    "extension": (one("Neg"), xy("openvino", batch=4, CPU_EXTENSION_PATH="/x.so"), "would run a library's code"),
    "operations": (
        one("Neg"),
        xy("onnxruntime", batch=4, more='model_operations { op_library_filename: "x.so" }'),
        "would run a library's code",
    ),
    "state": (
        one("Neg"),
        xy(
            "onnxruntime",
            batch=4,
            more="sequence_batching { state { input_name: 'a' output_name: 'b' data_type: TYPE_FP32 dims: [1] } }",
        ),
        "implicit state is kept by the native backends only",
    ),
    "accelerator": (
        one("Neg"),
        xy(
            "onnxruntime",
            batch=4,
            more='optimization { execution_accelerators { cpu_execution_accelerator { name: "warp" } } }',
        ),
        "there is no execution accelerator 'warp'",
    ),
    "too-large": (one("Neg"), xy("onnxruntime", batch=4, intra_op_thread_count="99999999999"), "expected a number"),
    "control-missing": (one("Neg"), xy("onnxruntime", batch=4, more=START), "'START' is not in the model file"),
    "control-dtype": (with_start(TensorProto.INT32), xy("onnxruntime", batch=4, more=START), "is TYPE_INT32 in the"),
    "control-dims": (
        with_start(TensorProto.FLOAT, ["batch", 2]),
        xy("onnxruntime", batch=4, more=START),
        "control input 'START' has shape [-1, 2] in the model file, [-1, 1] in the config",
    ),
    "batch-output": (
        one("Neg"),
        xy(
            "onnxruntime",
            batch=4,
            more='batch_output { target_name: "y" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "x" }',
        ),
        "batch_output is filled in by the native backends only",
    ),
    "twice": (
        one("Neg"),
        xy("openvino", batch=4, more='input { name: "x" data_type: TYPE_FP32 dims: [3] }'),
        "an input stands twice",
    ),
    "kind-model": (one("Neg"), xy("openvino", batch=4, more="instance_group { kind: KIND_MODEL }"), "no KIND_MODEL"),
}


@pytest.fixture(scope="module")
def refused(triton):
    """Why each case does not load; they are tried at once, since a load is mostly waiting."""

    def one_case(case: str) -> str:
        source, text, _ = REFUSALS[case]
        return triton.refused(f"refused-{case}", source, text, path="1/none" if source is None else "1/model.onnx")

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(REFUSALS, pool.map(one_case, REFUSALS), strict=True))


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(refused, case):
    assert REFUSALS[case][2] in refused[case]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_output_that_stands_twice_is_answered_once(triton, backend):
    text = xy(backend, batch=4, more='output { name: "y" data_type: TYPE_FP32 dims: [3] }')
    triton.load(f"output-twice-{backend}", one("Neg"), text)
    answer = triton.infer(f"output-twice-{backend}", x=np.ones((2, 3), np.float32))
    assert (answer["y"] == -1).all()


def test_bf16_beside_text(triton):
    """From Python, ONNX Runtime takes no text beside BF16; compiled, it does, as in the native backend."""
    names = ["BF16", "STRING"]
    text = config(
        "onnxruntime",
        {f"in_{name}": (name, [2]) for name in names},
        {f"out_{name}": (name, [2]) for name in names},
        batch=4,
    )
    if triton.kind == "python":
        refusal = triton.refused("bf16-and-text", every_dtype(names), text)
        assert "BF16 and text in one model are served by the native and the compiled one only" in refusal
        return
    triton.load("bf16-and-text", every_dtype(names), text)
    sent = {f"in_{name}": DTYPES[name][1] for name in names}
    for name, array in triton.infer("bf16-and-text", **sent).items():
        np.testing.assert_array_equal(array, sent[name.replace("out", "in")])
