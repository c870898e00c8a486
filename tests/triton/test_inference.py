"""Models that want to be asked in their own way: sequences, decoupled models, and cascades of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.python_models import SEQUENCE, STREAM, TENSORS, controls, python_model
from tests.support.running import Running
from tritonpm.core.errors import InferenceError
from tritonpm.triton.client import Client
from tritonpm.triton.connection import Connection
from tritonpm.triton.inference import Asking
from tritonpm.triton.shared_memory import Region

X = np.arange(4, dtype=np.float32)
BATCH = X[np.newaxis]


def cascade(root: Path, name: str, member: str, config: str = "") -> None:
    (root / name / "1").mkdir(parents=True)
    step = f'step {{ model_name: "{member}" model_version: -1 input_map {{ key: "X" value: "X" }} '
    tensors = TENSORS.partition("\n")[2].partition("instance_group")[0]
    text = f'platform: "ensemble"\n{tensors}{config}ensemble_scheduling {{ {step}'
    (root / name / "config.pbtxt").write_text(text + 'output_map { key: "Y" value: "Y" } } }\n')


@pytest.fixture(scope="module")
def loaded(running: Running) -> Running:
    # None of text: Triton 2.51 pads such an id, and its Python backend then refuses the request.
    sequences = {"numbered": "TYPE_UINT64", "short": "TYPE_INT32"}
    for name, kind in sequences.items():
        python_model(running.repository, name, SEQUENCE, controls(kind))
    python_model(running.repository, "stream", STREAM, "model_transaction_policy { decoupled: true }\n")
    cascade(running.repository, "of-numbered", "numbered", "max_batch_size: 4\n")
    cascade(running.repository, "of-stream", "stream")
    with Client(running.server.http) as client:
        for name in (*sequences, "stream", "of-numbered", "of-stream"):
            client.load_and_wait(name)
    return running


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, loaded: Running) -> Client:
    url = getattr(loaded.server, request.param)
    made = Client.of(Connection(url, grpc=loaded.server.grpc), protocol=request.param)
    request.addfinalizer(made.close)
    return made


def streamed(count: int) -> np.ndarray:
    return np.concatenate([np.float32([count]), X[1:]])


@pytest.mark.server
@pytest.mark.parametrize("name", ["numbered", "short", "of-numbered"])
def test_a_request_is_a_whole_sequence(client: Client, name: str) -> None:
    for _ in range(3):  # more than there are slots, were one not ended
        np.testing.assert_array_equal(client.infer(name, {"X": BATCH})["Y"], BATCH + 110)


@pytest.mark.server
@pytest.mark.parametrize("name", ["stream", "of-stream"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_response_of_a_decoupled_model_is_collected(client: Client, name: str, count: int) -> None:
    answers = client.responses(name, {"X": streamed(count)})
    assert len(answers) == count
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(answer["Y"], streamed(count) + number)
    if count:
        np.testing.assert_array_equal(client.infer(name, {"X": streamed(count)})["Y"], streamed(count))
    else:
        with pytest.raises(InferenceError, match="no response"):
            client.infer(name, {"X": streamed(count)})


@pytest.mark.server
def test_an_error_in_the_stream_is_the_models(client: Client) -> None:
    with pytest.raises(InferenceError, match="below zero"):
        client.responses("stream", {"X": np.float32([1, -1, 0, 0])})
    assert len(client.responses("stream", {"X": streamed(2)})) == 2  # the next one has a stream of its own


@pytest.mark.server
def test_http_alone_says_what_a_decoupled_model_needs(loaded: Running) -> None:
    with Client(loaded.server.http) as client, pytest.raises(InferenceError, match=r"decoupled.*grpc://HOST:8001"):
        client.infer("stream", {"X": X})


@pytest.mark.server
def test_tensors_in_shared_memory_are_sequences_and_streams_too(loaded: Running) -> None:
    with Client(loaded.server.grpc, protocol="grpc") as client, Region(client) as region:
        np.testing.assert_array_equal(region.infer("numbered", {"X": BATCH})["Y"], BATCH + 110)
        np.testing.assert_array_equal(region.infer("stream", {"X": streamed(2)})["Y"], streamed(2))


@pytest.mark.server
def test_a_model_that_becomes_a_sequence_model_is_asked_anew(loaded: Running) -> None:
    echo = SEQUENCE.replace('("X", "START", "END", "ID")', '("X", "X", "X")').replace(", identity =", " =")
    echo = echo.replace('            assert identity.ravel()[0] not in (0, b"", b"0"), identity\n', "")
    python_model(loaded.repository, "turned", echo, "max_batch_size: 4\n")
    with Client(loaded.server.http) as client:
        client.load_and_wait("turned")
        np.testing.assert_array_equal(client.infer("turned", {"X": BATCH})["Y"], 111 * BATCH)
        (loaded.repository / "turned" / "1" / "model.py").write_text(SEQUENCE)
        (loaded.repository / "turned" / "config.pbtxt").write_text(TENSORS + controls("TYPE_UINT64"))
        client.load_and_wait("turned")
        np.testing.assert_array_equal(client.infer("turned", {"X": BATCH})["Y"], BATCH + 110)


def test_a_cascade_is_asked_as_its_members_want_it() -> None:
    def step(*names: str) -> dict[str, object]:
        return {"ensemble_scheduling": {"step": [{"model_name": name} for name in names]}}

    configs: dict[str, dict[str, object]] = {
        "plain": {"model_transaction_policy": {"decoupled": False}},
        "stream": {"model_transaction_policy": {"decoupled": True}},
        "sequence": {"sequence_batching": {}},
        "inner": step("plain", "stream"),
    }
    assert Asking.of(step("plain"), configs.__getitem__) == Asking()
    assert Asking.of(step("inner", "sequence"), configs.__getitem__) == Asking(frozenset({"TYPE_UINT64"}), True)


@pytest.mark.parametrize(("kind", "bits"), [("TYPE_INT32", 31), ("TYPE_UINT32", 32), ("TYPE_UINT64", 63)])
def test_ids_fit_what_the_model_takes(kind: str, bits: int) -> None:
    ids = [Asking(frozenset({kind})).options()["sequence_id"] for _ in range(50)]
    assert all(0 < identity < 1 << bits for identity in ids)
    assert len(set(ids)) == 50
    assert isinstance(Asking(frozenset({"TYPE_STRING"})).options()["sequence_id"], str)
    assert Asking().options() == {}
