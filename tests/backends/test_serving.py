"""What the backends answer, on the real server."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tritonclient.grpc as grpc
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException, shared_memory

from tests.support.backend_models import DTYPES, config, every_dtype, model, one, xy
from tests.support.waiting import until
from tritonpm.core.errors import InferenceError, ServerError

pytestmark = pytest.mark.server
TYPES = [
    pytest.param("onnxruntime", [name for name in DTYPES if name != "BF16"], id="onnxruntime"),
    pytest.param("onnxruntime", [name for name in DTYPES if name != "STRING"], id="onnxruntime-bf16"),
    pytest.param("openvino", [name for name in DTYPES if name not in ("STRING", "INT64")], id="openvino"),
]  # the CPU plugin of OpenVINO computes INT64 in 32 bits: see the test of its own


def ragged(text: str) -> str:
    """The config with inputs that Triton joins whatever their dims are."""
    return text.replace("dims: [-1]", "dims: [-1] allow_ragged_batch: true", 1)


def row(value: float, width: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.full((1, width), value, np.float32)}


@pytest.mark.parametrize(("backend", "names"), TYPES)
def test_every_dtype_joined_and_alone(triton, backend, names, request):
    folder = f"dtypes-{request.node.callspec.id}"
    tensors = {name: (name, [2]) for name in names}
    text = config(
        backend,
        {f"in_{name}": tensor for name, tensor in tensors.items()},
        {f"out_{name}": tensor for name, tensor in tensors.items()},
        batch=3,
        delay_us=10_000_000,
    )
    triton.load(folder, every_dtype(names), text)
    rows = [{f"in_{name}": DTYPES[name][1][index : index + 1] for name in names} for index in range(3)]
    for sent, answer in zip(rows, triton.together(folder, rows), strict=True):
        assert isinstance(answer, dict), answer
        for name in names:
            np.testing.assert_array_equal(answer[f"out_{name}"], sent[f"in_{name}"], err_msg=name)
            assert answer[f"out_{name}"].dtype == sent[f"in_{name}"].dtype
    assert triton.executions(folder, 3) == 1
    whole = triton.infer(folder, **{f"in_{name}": DTYPES[name][1] for name in names})
    for name in names:
        np.testing.assert_array_equal(whole[f"out_{name}"], DTYPES[name][1], err_msg=name)


def test_a_batch_is_one_call_and_each_gets_its_rows(triton, backend):
    triton.load(f"joined-{backend}", one("Neg"), xy(backend, batch=6, delay_us=10_000_000))
    requests = [{"x": np.full((rows, 3), rows, np.float32)} for rows in (1, 2, 3)]
    answers = triton.together(f"joined-{backend}", requests)
    for sent, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], -sent["x"])
    assert triton.executions(f"joined-{backend}", 6) == 1


def test_requests_of_different_shapes_in_one_batch(triton, backend):
    """Ragged requests run apart; the answers of one call must survive the next, which writes to the same memory."""
    text = ragged(xy(backend, [-1], [1], batch=4, delay_us=10_000_000))
    triton.load(f"ragged-{backend}", one("ReduceMax", ("batch", "n"), ("batch", 1), axes=[1]), text)
    answers = triton.together(f"ragged-{backend}", [row(width, width) for width in (2, 3, 5, 7)])
    assert [float(answer["y"][0, 0]) for answer in answers] == [2, 3, 5, 7]
    assert triton.executions(f"ragged-{backend}", 4) == 1


def test_a_bad_request_fails_alone(triton, backend):
    """Joined by their shapes, one of them asks for a row that the table does not have."""
    gather = model(
        [
            helper.make_node("Gather", ["table", "x"], ["row"]),
            helper.make_node("Reshape", ["row", "shape"], ["y"]),
        ],
        {"x": (TensorProto.INT64, ["batch"])},
        {"y": (TensorProto.FLOAT, ["batch"])},
        table=np.arange(4, dtype=np.float32),
        shape=np.array([-1], np.int64),
    )
    text = config(backend, {"x": ("INT64", [1])}, {"y": ("FP32", [1])}, batch=4, delay_us=10_000_000)
    text = text.replace("dims: [1]", "dims: [1] reshape { shape: [] }")
    triton.load(f"gather-{backend}", gather, text)
    answers = triton.together(f"gather-{backend}", [{"x": np.array([[index]])} for index in (0, 9, 2, 3)])
    assert [float(answers[index]["y"][0, 0]) for index in (0, 2, 3)] == [0, 2, 3]
    if backend == "onnxruntime":  # OpenVINO answers 0 for it
        assert isinstance(answers[1], InferenceError)
        assert "out of" in str(answers[1])


def test_a_request_of_a_bad_shape_fails_alone(triton, backend):
    # The reshape refuses: OpenVINO's MatMul in FP32 answers whatever lies behind a row that is too short.
    nodes = [helper.make_node("Reshape", ["x", "rows"], ["r"]), helper.make_node("MatMul", ["r", "weights"], ["y"])]
    product = model(
        nodes,
        {"x": (TensorProto.FLOAT, ["batch", "n"])},
        {"y": (TensorProto.FLOAT, ["batch", 2])},
        rows=np.array([-1, 3]),
        weights=np.ones((3, 2), np.float32),
    )
    text = ragged(xy(backend, [-1], [2], batch=4, delay_us=10_000_000))
    triton.load(f"matmul-{backend}", product, text)
    answers = triton.together(f"matmul-{backend}", [row(1), row(1, 4), row(2), row(3)])
    assert [float(answers[index]["y"][0, 0]) for index in (0, 2, 3)] == [3, 6, 9]
    assert isinstance(answers[1], ServerError)
    assert triton.client.ready(f"matmul-{backend}")


def test_only_requested_outputs(triton, backend):
    two = model(
        [helper.make_node("Neg", ["x"], ["minus"]), helper.make_node("Abs", ["x"], ["plus"])],
        {"x": (TensorProto.FLOAT, ["batch", 3])},
        {"minus": (TensorProto.FLOAT, ["batch", 3]), "plus": (TensorProto.FLOAT, ["batch", 3])},
    )
    text = config(backend, {"x": ("FP32", [3])}, {"minus": ("FP32", [3]), "plus": ("FP32", [3])}, batch=4)
    triton.load(f"outputs-{backend}", two, text)
    for wanted in (["plus"], ["minus"], ["plus", "minus"]):
        answer = triton.client.infer(f"outputs-{backend}", row(-1), outputs=wanted)
        assert sorted(answer) == sorted(wanted)
        assert all(float(answer[name][0, 0]) == 1 for name in wanted)


def test_scalars(triton, backend):
    triton.load(f"scalar-{backend}", one("Neg", []), xy(backend, [1]))
    np.testing.assert_array_equal(triton.infer(f"scalar-{backend}", x=np.float32([5]))["y"], np.float32([-5]))


def test_a_scalar_takes_no_second_element(triton, backend):
    triton.load(f"scalar-batch-{backend}", one("Neg", []), xy(backend, [1], batch=4))
    np.testing.assert_array_equal(triton.infer(f"scalar-batch-{backend}", x=np.float32([[5]]))["y"].ravel(), [-5])
    with pytest.raises(InferenceError):
        triton.infer(f"scalar-batch-{backend}", x=np.float32([[5], [6]]))


def test_a_reshape_of_the_config(triton, backend):
    text = xy(backend, [6]).replace("dims: [6]", "dims: [6] reshape { shape: [2, 3] }")
    triton.load(f"reshape-{backend}", one("Neg", [2, 3]), text)
    np.testing.assert_array_equal(
        triton.infer(f"reshape-{backend}", x=np.arange(6, dtype=np.float32))["y"], -np.arange(6, dtype=np.float32)
    )


def test_an_empty_batch_of_a_dimension(triton, backend):
    triton.load(f"empty-{backend}", one("Neg", ["batch", "n"]), xy(backend, [-1, -1]))
    assert triton.infer(f"empty-{backend}", x=np.empty((2, 0), np.float32))["y"].shape == (2, 0)


def test_an_optional_input_is_an_initializer_of_the_model(triton):
    added = model(
        [helper.make_node("Add", ["x", "bias"], ["y"])],
        {"x": (TensorProto.FLOAT, [3]), "bias": (TensorProto.FLOAT, [3])},
        {"y": (TensorProto.FLOAT, [3])},
        bias=np.array([1, 2, 3], np.float32),
    )
    text = xy("onnxruntime") + 'input { name: "bias" data_type: TYPE_FP32 dims: [3] optional: true }\n'
    triton.load("optional", added, text)
    x = np.zeros(3, np.float32)
    np.testing.assert_array_equal(triton.infer("optional", x=x)["y"], [1, 2, 3])
    np.testing.assert_array_equal(triton.infer("optional", x=x, bias=np.float32([7, 7, 7]))["y"], [7, 7, 7])
    triton.load("no-optional", added, xy("onnxruntime"))
    np.testing.assert_array_equal(triton.infer("no-optional", x=x)["y"], [1, 2, 3])


def test_control_inputs_of_a_sequence(triton, backend):
    """Triton's sequence batcher fills in START, which the config does not name among the inputs."""
    added = model(
        [helper.make_node("Add", ["x", "START"], ["y"])],
        {name: (TensorProto.FLOAT, ["batch", 1]) for name in ("x", "START")},
        {"y": (TensorProto.FLOAT, ["batch", 1])},
    )
    start = 'control_input { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 100] } }'
    triton.load(f"sequence-{backend}", added, xy(backend, [1], batch=4, more=f"sequence_batching {{ {start} }}"))
    with grpc.InferenceServerClient(triton.client.where) as client:
        sent = grpc.InferInput("x", [1, 1], "FP32").set_data_from_numpy(np.float32([[1]]))
        answers = [
            client.infer(f"sequence-{backend}", [sent], sequence_id=7, sequence_start=step == 0, sequence_end=step == 2)
            for step in range(3)
        ]
    assert [float(answer.as_numpy("y")[0, 0]) for answer in answers] == [101, 1, 1]


def test_bytes_that_are_no_text(triton):
    tensor = ("STRING", [2])
    text = config("onnxruntime", {"in_STRING": tensor}, {"out_STRING": tensor}, batch=3, delay_us=10_000_000)
    triton.load("text", every_dtype(["STRING"]), text)
    good, bad = np.array([[b"a", b"b"]], np.object_), np.array([[b"\xff", b""]], np.object_)
    answers = triton.together("text", [{"in_STRING": good}, {"in_STRING": bad}, {"in_STRING": good}])
    if triton.kind == "python":
        assert "input 'in_STRING' holds bytes that are not UTF-8 text" in str(answers[1])
    else:  # as the native backend
        np.testing.assert_array_equal(answers[1]["out_STRING"], bad)
    for answer in (answers[0], answers[2]):
        np.testing.assert_array_equal(answer["out_STRING"], good)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_without_a_batcher_any_batch_is_served_unpadded(triton, backend, batch):
    name = f"any-{backend}"
    if not (triton.repository / name).exists():
        triton.load(name, one("Neg"), xy(backend, [-1, 3]))
    assert triton.infer(name, x=np.ones((batch, 3), np.float32))["y"].shape == (batch, 3)


TORN = {
    "a length beyond the end": b"\xff\xff\xff\x7fabc",
    "half a length": b"\x01\x00",
    "one text of two": b"\x01\x00\x00\x00a",
    "three texts of two": 3 * b"\x01\x00\x00\x00a",
    "nothing": b"",
}


@pytest.mark.parametrize("torn", TORN)
def test_bytes_that_are_not_what_their_shape_says(triton, backend, torn):
    """Refused by Triton or by the backend; whoever asks beside it is answered."""
    name, tensor = f"torn-{backend}", ("STRING", [2])
    text = config(backend, {"in_STRING": tensor}, {"out_STRING": tensor}, batch=3)
    if (triton.kind, backend) == ("compiled", "openvino"):
        assert "is text" in triton.refused(name, every_dtype(["STRING"]), text)  # it serves none
        return
    if not (triton.repository / name).exists():
        triton.load(name, every_dtype(["STRING"]), text)
    sent = grpc.InferInput("in_STRING", [1, 2], "BYTES")
    sent._raw_content = TORN[torn]
    with (
        grpc.InferenceServerClient(triton.client.where) as client,
        pytest.raises(Exception, match=r"in_STRING|byte|element|exceed|input|match"),
    ):
        client.infer(name, [sent])
    good = np.array([[b"a", b"b"]], np.object_)
    np.testing.assert_array_equal(triton.infer(name, in_STRING=good)["out_STRING"], good)


def freed(client: grpc.InferenceServerClient, name: str) -> bool:
    """Unregister a region; a request holds it until a little after its answer."""
    try:
        client.unregister_system_shared_memory(name)
    except InferenceServerException as error:
        assert "in use" in str(error)
        return False
    return True


def test_tensors_in_shared_memory(triton, backend):
    """Read and written in place; a region without room for the answer is that request's error alone."""
    triton.load(f"regions-{backend}", one("Neg"), xy(backend, batch=4))
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    names = {size: f"tritonpm_test_{triton.kind}_{backend}_{os.getpid()}_{size}" for size in ("in", "out", "small")}
    bytes_of = {"in": rows.nbytes, "out": rows.nbytes, "small": 8}
    handles = {
        size: shared_memory.create_shared_memory_region(name, f"/{name}", bytes_of[size])
        for size, name in names.items()
    }
    try:
        with grpc.InferenceServerClient(triton.client.where) as client:
            for size, name in names.items():
                client.register_system_shared_memory(name, f"/{name}", bytes_of[size])
            shared_memory.set_shared_memory_region(handles["in"], [rows])
            sent, wanted = grpc.InferInput("x", [4, 3], "FP32"), grpc.InferRequestedOutput("y")
            sent.set_shared_memory(names["in"], rows.nbytes)
            wanted.set_shared_memory(names["out"], rows.nbytes)
            client.infer(f"regions-{backend}", [sent], outputs=[wanted])
            answer = shared_memory.get_contents_as_numpy(handles["out"], np.float32, [4, 3])
            np.testing.assert_array_equal(answer, -rows)
            wanted.set_shared_memory(names["small"], 8)
            with pytest.raises(Exception, match=r"shared memory|byte"):
                client.infer(f"regions-{backend}", [sent], outputs=[wanted])
            for name in names.values():
                until(lambda name=name: freed(client, name))
    finally:
        for handle in handles.values():
            shared_memory.destroy_shared_memory_region(handle)
    np.testing.assert_array_equal(triton.infer(f"regions-{backend}", x=rows)["y"], -rows)
