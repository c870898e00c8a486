"""A server that has nothing to wait for does not wait; one that has does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.python_models import ANSWER, HEAD, TENSORS
from tests.support.repositories import model
from tests.support.running import Running
from tests.support.waiting import PATIENCE
from tritonpm.core.errors import ServerError
from tritonpm.triton import embedded
from tritonpm.triton.client import Client
from tritonpm.triton.leaving import Leaving

pytestmark = pytest.mark.server
SLOW = f"""{HEAD}{ANSWER}
    def finalize(self):
        import pathlib, time

        time.sleep(4)
        pathlib.Path("FINALIZED").touch()
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server of each test's own: it is stopped in it."""
    repository, state = tmp_path / "models", tmp_path / "state"
    repository.mkdir()
    server = embedded.start(embedded.find(), repository, state)
    yield Running(server, repository, state)
    embedded.stop(server, state, timeout=15)


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    """Of a server on which a load failed while the model served."""
    folder = model(running.repository)
    with Client(running.server.grpc, protocol="grpc") as client:
        client.load_and_wait("m")
        (folder / "1/model.onnx").write_bytes(b"")
        with pytest.raises(ServerError):
            client.load_and_wait("m")
        yield client


def waited_out(running: Running) -> bool:
    """Whether the server's exit timeout was over."""
    return "Timeout 1:" in Path(running.server.log).read_text()


@pytest.mark.usefixtures("client")
def test_after_a_failed_load_it_is_gone_when_its_models_are(running: Running) -> None:
    embedded.stop(running.server, running.state, timeout=PATIENCE)
    assert not running.server.alive
    assert not waited_out(running)


def test_a_model_that_takes_its_time_is_waited_for(client: Client, running: Running, tmp_path: Path) -> None:
    folder = running.repository / "slow/1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(SLOW.replace("FINALIZED", str(tmp_path / "finalized")))
    (folder.parent / "config.pbtxt").write_text(TENSORS)
    client.load_and_wait("slow")
    embedded.stop(running.server, running.state, timeout=PATIENCE)
    assert (tmp_path / "finalized").exists()


def test_who_does_not_say_what_it_has_is_waited_for(running: Running) -> None:
    assert Leaving.of(running.server).models == frozenset()
    embedded.stop(running.server, running.state, timeout=PATIENCE)
    assert Leaving.of(running.server).models is None  # nobody is there
    assert not Leaving.of(running.server).done()
