"""Requests that no client of ours sends: each is answered right or refused, by both kinds, and nobody else notices."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import grpc as plain_grpc
import numpy as np
import pytest
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.support.backend_models import config, every_dtype, model, one, xy

pytestmark = pytest.mark.server
EACH = 6  # requests of each kind of oddity and model, of other shapes and with other company


@dataclass
class Sent:
    """A request in HTTP's binary form, right until something is done to it."""

    name: str
    shape: list[int]
    datatype: str
    data: bytes
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs = [self.input()]

    def input(self, **changes: Any) -> dict[str, Any]:
        parameters = {"binary_data_size": len(self.data)}
        return {"name": self.name, "shape": self.shape, "datatype": self.datatype, "parameters": parameters, **changes}


Oddity = Callable[[Sent, random.Random], None]


def _change(**changes: Any) -> Oddity:
    def change(sent: Sent, _: random.Random) -> None:
        sent.inputs[0].update(changes)

    return change


def _sized(by: int) -> Oddity:
    """More or fewer bytes than the shape takes, and as many as are announced."""

    def change(sent: Sent, _: random.Random) -> None:
        sent.data = sent.data + b"\0" * by if by > 0 else sent.data[:by]
        sent.inputs = [sent.input()]

    return change


def _outputs(*outputs: dict[str, Any]) -> Oddity:
    def change(sent: Sent, _: random.Random) -> None:
        sent.outputs = [dict(output) for output in outputs]

    return change


def _twice(sent: Sent, _: random.Random) -> None:
    sent.inputs, sent.data = [*sent.inputs, *sent.inputs], sent.data * 2


def _torn(sent: Sent, chance: random.Random) -> None:
    """Other bytes: for text, lengths that lie."""
    sent.data = chance.randbytes(len(sent.data))


def _ranked(sent: Sent, chance: random.Random) -> None:
    sent.inputs[0]["shape"] = [*sent.shape, 1, 1] if chance.random() < 0.5 else sent.shape[:-1]


def _more(**more: Any) -> Oddity:
    def change(sent: Sent, _: random.Random) -> None:
        sent.more = more

    return change


HARMLESS: dict[str, Oddity] = {
    "nothing": lambda sent, chance: None,
    "an output asked for": _outputs({"name": "y"}),
    "in binary": _outputs({"name": "y", "parameters": {"binary_data": True}}),
    "an id of 10,000 letters": _more(id="i" * 10_000),
    "a parameter": _more(parameters={"anything": "🙂"}),
    "a time-out": _more(parameters={"timeout": 10_000_000}),
    "a sequence": _more(parameters={"sequence_id": 7, "sequence_start": True}),
}
HARMFUL: dict[str, Oddity] = {
    "an unknown input": _change(name="no such"),
    "no name": _change(name=""),
    "another type": _change(datatype="INT8"),
    "no type": _change(datatype="FP7"),
    "a shape that overflows": _change(shape=[1 << 31, 1 << 31, 1 << 31]),
    "a shape below 0": _change(shape=[-1, 3]),
    "a shape of text": _change(shape=["3"]),
    "another rank": _ranked,
    "a byte more": _sized(1),
    "a byte less": _sized(-1),
    "nothing at all": _sized(-(1 << 30)),
    "its input twice": _twice,
    "no inputs": lambda sent, chance: sent.inputs.clear(),
    "more bytes than there are": _change(parameters={"binary_data_size": 1 << 40}),
    "bytes below 0": _change(parameters={"binary_data_size": -4}),
    "memory that nobody registered": _change(
        parameters={"shared_memory_region": "none", "shared_memory_byte_size": 12}
    ),
    "an unknown output": _outputs({"name": "no such"}),
    "an answer in memory that nobody registered": _outputs(
        {"name": "y", "parameters": {"shared_memory_region": "none", "shared_memory_byte_size": 12}}
    ),
}
MODELS = {"free": "FP32", "rows": "FP32", "text": "BYTES"}


def name_of(backend: str, kind: str) -> str:
    return f"odd-{kind}-{backend}"


@pytest.fixture(params=["onnxruntime", "openvino"])
def odd(triton, request) -> Iterator[tuple[str, HTTPConnection, list[str]]]:
    """A backend, a connection to the server's HTTP, the kinds of models that it serves."""
    backend, kinds = request.param, list(MODELS)
    if backend == "openvino":
        kinds.remove("text")  # the compiled one has none
    texts = {
        "free": (one("Neg", ["a", "b"]), xy(backend, [-1, -1])),
        "rows": (one("Neg"), xy(backend, batch=4, delay_us=100)),
        "text": (
            model(
                [helper.make_node("Identity", ["x"], ["y"])],
                {"x": (TensorProto.STRING, ["batch", 2])},
                {"y": (TensorProto.STRING, ["batch", 2])},
            ),
            config(backend, {"x": ("STRING", [2])}, {"y": ("STRING", [2])}, batch=4, delay_us=100),
        ),
    }
    for kind in kinds:
        if not (triton.repository / name_of(backend, kind)).exists():
            triton.load(name_of(backend, kind), *texts[kind])
    connection = HTTPConnection(triton.http, timeout=60)
    yield backend, connection, kinds
    connection.close()


def right(kind: str, chance: random.Random) -> tuple[Sent, bytes]:
    """A request and its answer."""
    rows = chance.randint(1, 4)
    if kind == "text":
        texts = [bytes(chance.choices(b"ab c\n", k=chance.randint(0, 5))) for _ in range(2 * rows)]
        data = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        return Sent("x", [rows, 2], "BYTES", data), data
    values = np.array([chance.uniform(-9, 9) for _ in range(3 * rows)], np.float32)
    return Sent("x", [rows, 3], "FP32", values.tobytes()), (-values).tobytes()


def asked(connection: HTTPConnection, name: str, sent: Sent) -> tuple[int, bytes, dict[str, Any]]:
    """Status, what the answer has in binary, and the rest of it."""
    head: dict[str, Any] = {"inputs": sent.inputs, **sent.more}
    if sent.outputs is not None:
        head["outputs"] = sent.outputs
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"}
    connection.request("POST", f"/v2/models/{name}/infer", text + sent.data, headers)
    answer = connection.getresponse()
    whole, size = answer.read(), int(answer.headers.get("Inference-Header-Content-Length", 0))
    return answer.status, whole[size:] if size else b"", json.loads(whole[:size] if size else whole)


def values(kind: str, binary: bytes, rest: dict[str, Any]) -> bytes:
    """The answer's `y`, however it was sent."""
    if binary:
        return binary
    data = rest["outputs"][0]["data"]
    if kind == "text":
        return b"".join(len(text).to_bytes(4, "little") + text for text in (one.encode() for one in data))
    return np.array(data, np.float32).tobytes()


def test_odd_requests_over_http(triton, odd):
    backend, connection, kinds = odd
    chance, wrong, count = random.Random(16), [], 0
    for oddity, change in [*HARMLESS.items(), *HARMFUL.items()]:
        for kind in kinds:
            for _ in range(EACH):
                sent, expected = right(kind, chance)
                change(sent, chance)
                status, binary, rest = asked(connection, name_of(backend, kind), sent)
                good = status == 200 and values(kind, binary, rest) == expected
                refused = 400 <= status < 600 and rest.get("error", "").strip()
                count += 1
                if not (good if oddity in HARMLESS else refused):
                    wrong.append((kind, oddity, sent.inputs, status, rest))
    assert count >= 300
    assert not wrong
    for kind in kinds:
        sent, expected = right(kind, chance)
        status, binary, rest = asked(connection, name_of(backend, kind), sent)
        assert (status, values(kind, binary, rest)) == (200, expected)


def test_text_whose_lengths_lie(triton, odd):
    backend, connection, kinds = odd
    if "text" not in kinds:
        return
    chance = random.Random(17)
    for _ in range(50):
        sent, _ = right("text", chance)
        _torn(sent, chance)
        status, binary, _ = asked(connection, name_of(backend, "text"), sent)
        assert status != 200 or binary == b"" or len(binary) == len(sent.data)
    sent, expected = right("text", chance)
    status, binary, rest = asked(connection, name_of(backend, "text"), sent)
    assert (status, values("text", binary, rest)) == (200, expected)


def odd_messages(name: str, chance: random.Random) -> Iterator[tuple[bool, service_pb2.ModelInferRequest]]:
    """gRPC's own oddities, and whether the request is right all the same."""

    def message(shape: list[int], raw: list[bytes], **contents: Any) -> service_pb2.ModelInferRequest:
        tensor = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=shape)
        for name_, values_ in contents.items():
            getattr(tensor.contents, name_).extend(values_)
        return service_pb2.ModelInferRequest(model_name=name, inputs=[tensor], raw_input_contents=raw)

    row = np.array([chance.uniform(-9, 9) for _ in range(3)], np.float32)
    yield True, message([1, 3], [row.tobytes()])
    yield True, message([1, 3], [], fp32_contents=row.tolist())
    yield False, message([1, 3], [row.tobytes()], fp32_contents=row.tolist())
    yield False, message([1, 3], [], int_contents=[1, 2, 3])
    yield False, message([1, 3], [], fp32_contents=[1, 2])
    yield True, message([1, 3], [row.tobytes(), row.tobytes()])  # Triton passes over the second
    yield False, message([1, 3], [b""])
    yield False, message([-1, 3], [row.tobytes()])
    yield False, message([-1, -3], [row.tobytes()])
    yield False, message([1 << 62, 3], [row.tobytes()])
    yield False, message([], [row.tobytes()])


def test_odd_requests_over_grpc(triton, odd):
    backend, _, kinds = odd
    with plain_grpc.insecure_channel(triton.client.where) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for chance in map(random.Random, range(EACH)):
            for kind in kinds[:2]:
                for good, request in odd_messages(name_of(backend, kind), chance):
                    try:
                        answer = stub.ModelInfer(request, timeout=60)
                    except plain_grpc.RpcError as error:
                        assert not good, error
                        assert error.code() is not plain_grpc.StatusCode.UNAVAILABLE
                        continue
                    assert good, request
                    assert len(answer.raw_output_contents[0]) == 12


def test_sizes_that_overflow(triton, odd):
    """Shapes whose bytes are more than can be counted, with no bytes at all. From Python the instance ends, and is replaced."""
    if triton.kind == "python":
        return
    backend, connection, _ = odd
    for shape in ([1 << 31, 1 << 31], [1 << 32, 1 << 30], [1 << 61, 2], [1 << 62, 4], [1 << 63, 1]):
        sent = Sent("x", shape, "FP32", b"")
        status, _, rest = asked(connection, name_of(backend, "free"), sent)
        assert status >= 400
        assert rest["error"]
    sent, expected = right("free", random.Random(1))
    status, binary, rest = asked(connection, name_of(backend, "free"), sent)
    assert (status, values("free", binary, rest)) == (200, expected)


@pytest.mark.parametrize("dtype", ["FP32", "STRING"])
def test_an_output_without_a_rank_that_is_not_one_element(triton, dtype):
    """ONNX Runtime tells its rank as a scalar's; what it then answers may have no element, or many."""
    shaped = every_dtype([dtype], ["n"])
    del shaped.graph.node[:]
    shaped.graph.node.append(helper.make_node("Reshape", [f"in_{dtype}", "shape"], [f"out_{dtype}"]))
    shaped.graph.input.append(helper.make_tensor_value_info("shape", TensorProto.INT64, ["rank"]))
    shaped.graph.output[0].type.tensor_type.ClearField("shape")
    tensors = {f"in_{dtype}": (dtype, [-1]), "shape": ("INT64", [-1])}
    name = f"unranked-{dtype}"
    triton.load(name, shaped, config("onnxruntime", tensors, {f"out_{dtype}": (dtype, [1])}))
    for count in (0, 5):
        values_ = np.zeros(count, np.float32) if dtype == "FP32" else np.full(count, b"a", np.object_)
        with pytest.raises(Exception, match=rf"has shape \[{count}\], the config takes one element"):
            triton.infer(name, **{f"in_{dtype}": values_, "shape": np.array([count])})
    values_ = np.ones(1, np.float32) if dtype == "FP32" else np.full(1, b"a", np.object_)
    answer = triton.infer(name, **{f"in_{dtype}": values_, "shape": np.array([1, 1])})[f"out_{dtype}"]
    np.testing.assert_array_equal(answer, values_)
