"""The client: the same over HTTP and gRPC, and one sentence for what goes wrong."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.repositories import ensemble, model
from tests.support.running import Running
from tests.support.waiting import until
from tritonpm.core.errors import InferenceError, NotFoundError, ServerError, TritonpmError
from tritonpm.triton.client import Client
from tritonpm.triton.connection import address
from tritonpm.triton.stubs import instances

pytestmark = pytest.mark.server


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, running: Running) -> Client:
    protocol = request.param
    found = Client(running.server.http if protocol == "http" else running.server.grpc, protocol=protocol)
    request.addfinalizer(found.close)
    return found


def test_life_of_a_model(client: Client, running: Running) -> None:
    if not (running.repository / "m").exists():
        model(running.repository)
    assert client.live()
    assert client.server_version() == "2.51.0"
    assert client.load_and_wait("m").state == "READY"
    assert client.ready("m")
    assert [s.name for s in client.index()].count("m") == 1
    assert client.config("m")["name"] == "m"
    signature = client.metadata("m")
    assert [(t.name, t.dtype, t.shape) for t in signature.inputs] == [("x", "FP32", ("?", 4))]
    array = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert np.array_equal(client.infer("m", {"x": array})["y"], -array)
    until(lambda: client.statistics("m")[0].inferences == 2)  # counted a moment after the answer
    with pytest.raises(InferenceError, match="no input 'z'"):
        client.infer("m", {"z": array})
    with pytest.raises(InferenceError, match=r"^[^<]*expected"):  # and no "[request id: <id_unknown>]"
        client.infer("m", {"x": array[:, :3]})
    client.unload_and_wait("m")
    assert not client.ready("m")


def test_an_ensemble_brings_its_members_and_takes_them_away(client: Client, running: Running) -> None:
    if not (running.repository / "e").exists():
        shutil.rmtree(running.repository / "m", ignore_errors=True)
        ensemble(running.repository)
    client.load_and_wait("e")
    array = np.ones((3, 4), np.float32)
    assert np.array_equal(client.infer("e", {"in": array})["out"], array)
    client.unload_and_wait("e", dependents=True)
    assert not any(state.state == "READY" for state in client.index())


def test_unknown_models_are_not_found(client: Client) -> None:
    with pytest.raises(ServerError, match="nothing"):
        client.load("nothing")
    with pytest.raises(NotFoundError, match="tritonpm load"):
        client.metadata("nothing")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_nobody_there_is_one_sentence(protocol: str) -> None:
    with Client("127.0.0.1:1", protocol=protocol, timeout=2) as client:
        assert not client.live()
        with pytest.raises(ServerError, match="no Triton answers"):
            client.index()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("host:8000", ("http", "host:8000", False)),
        ("http://host:8000/", ("http", "host:8000", False)),
        ("https://host", ("http", "host", True)),
        ("grpc://host:8001", ("grpc", "host:8001", False)),
        ("grpcs://host:8001", ("grpc", "host:8001", True)),
    ],
)
def test_addresses(url: str, expected: tuple[str, str, bool]) -> None:
    assert address(url) == expected


def test_other_schemes_are_refused() -> None:
    with pytest.raises(ServerError, match="ftp"):
        address("ftp://host")


@contextmanager
def answering(answer: Callable[[], bytes]) -> Iterator[str]:
    """The address of what answers every request so, and is no Triton."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else the body waits 40 ms for the head to be acknowledged

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = answer()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 the library's name

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"127.0.0.1:{other.server_port}"
        finally:
            other.shutdown()


@pytest.mark.parametrize("answer", [b"<html>", b"\xff", b"null", b"[1]", b'{"models": null}', b"[" * 100_000])
def test_what_answers_and_is_no_triton_is_one_sentence(answer: bytes) -> None:
    with (
        answering(lambda: answer) as where,
        Client(where, timeout=5) as client,
        pytest.raises(ServerError, match="is not Triton"),
    ):
        client.index()


# Names that Triton's answers have, with values that they may have, and anything else.
_NAMES = st.sampled_from(
    [
        "name",
        "version",
        "models",
        "state",
        "reason",
        "inputs",
        "outputs",
        "datatype",
        "shape",
        "model_stats",
        "inference_stats",
        "success",
        "count",
        "ns",
        "queue",
        "batch_stats",
        "batch_size",
        "compute_infer",
        "inference_count",
        "last_inference",
        "config",
        "backend",
        "platform",
        "instance_group",
        "gpus",
        "input",
        "data_type",
        "dims",
        "max_batch_size",
        "parameters",
        "string_value",
        "ensemble_scheduling",
        "step",
        "model_name",
        "input_map",
        "sequence_batching",
        "control_input",
        "control",
        "kind",
        "model_transaction_policy",
        "decoupled",
        "settings",
        "trace_level",
        "data",
        "model_version",
        "id",
        "error",
        "extensions",
    ]
)
_LEAVES = (
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.text(max_size=3)
    | st.sampled_from(["FP32", "INT64", "TYPE_FP32", "READY", "KIND_CPU", "CONTROL_SEQUENCE_CORRID", "1", "BYTES"])
)  # fmt: skip
_ANSWERS = st.recursive(
    _LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(_NAMES, v, max_size=5), max_leaves=20
)


@pytest.fixture(scope="module")
def stranger() -> Iterator[tuple[Client, list[bytes]]]:
    """A client of what answers all that it is asked with the one that is in the list."""
    said = [b""]
    with answering(lambda: said[0]) as where, Client(where, timeout=5) as client:
        yield client, said


@given(answer=_ANSWERS)
@example(answer={"sequence_batching": ""})
@example(answer={"input": [[]]})
@example(answer={"parameters": {"a": []}})
def test_whatever_a_stranger_answers_is_one_sentence(stranger: tuple[Client, list[bytes]], answer: object) -> None:
    client, said = stranger
    said[0] = json.dumps(answer).encode()
    asked: list[Callable[[], object]] = [
        client.index, client.statistics, client.serving, client.server_version, client.trace_settings,
        client.log_settings, lambda: client.config("m"), lambda: client.metadata("m"), lambda: client.asking("m"),
        lambda: client.infer("m", {"x": np.zeros((1, 1), np.float32)}),
        lambda: instances(client.config("m")),
    ]  # fmt: skip
    for ask in asked:
        with suppress(TritonpmError):
            ask()
    client._asking.clear()
