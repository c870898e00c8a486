"""The server is killed, stopped or hangs: it comes back with what it had, or is given up with the reason."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.test_optimising import WIDTH, scaled, single
from tritonpm import supervisor
from tritonpm.errors import ServerError, TritonpmError
from tritonpm.manager import Manager, init
from tritonpm.serving import Serving
from tritonpm.triton import embedded

pytestmark = pytest.mark.server
ONES = {"x": np.ones((1, WIDTH), np.float32)}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    init(tmp_path / "a workspace")
    found = Serving(Manager.open(tmp_path / "a workspace"))
    found.manager.import_package(single(tmp_path / "in", scaled(2.0)))
    found.serve(None, detach=True, timeout=60, standard_ports=False)
    yield found
    found.stop(15)


def until(done: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.1)
    return False


def answers(serving: Serving) -> bool:
    try:
        with Serving(serving.manager).client() as client:
            return float(client.infer("p", ONES)["y"][0, 0]) == 2.0
    except TritonpmError:
        return False


def test_a_killed_server_comes_back_with_its_packages(serving: Serving) -> None:
    serving.load("p")
    said: list[str] = []
    keeper = threading.Thread(target=supervisor.supervise, args=(serving, said.append))
    keeper.start()
    before = serving.server
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    assert until(lambda: any("Loaded p again" in each for each in said)), said
    assert answers(serving)
    after = embedded.running(serving.state)
    assert after is not None
    assert (after.http, after.grpc) == (before.http, before.grpc)
    assert after.pid != before.pid
    serving.__dict__.pop("server", None)
    serving.stop(15)
    keeper.join(20)
    assert not keeper.is_alive()


def test_a_crash_loop_is_given_up_with_the_reason(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_PAUSE", 0.05)
    started = []

    def again(serving: Serving, before: embedded.Server, say: object) -> embedded.Server:
        started.append(before.pid)
        return before  # which is dead: it ended at once

    monkeypatch.setattr(supervisor, "_again", again)
    server = serving.server
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServerError, match=f"ended {supervisor.MOST} times within"):
        supervisor.supervise(serving, lambda sentence: None)
    assert len(started) == supervisor.MOST - 1


def test_a_server_that_is_stopped_during_a_load_is_a_sentence_and_the_next_load_succeeds(serving: Serving) -> None:
    server = serving.server
    assert server is not None
    process = psutil.Process(server.pid)
    process.suspend()
    try:
        with pytest.raises(ServerError, match="no Triton answers"), serving.client(load_timeout=2.0) as client:
            client.timeout = 2.0
            client.load_and_wait("p", timeout=2.0)
    finally:
        process.resume()
    serving.load("p")
    assert answers(serving)


def test_a_server_killed_during_a_load_leaves_what_is_recorded_true(serving: Serving) -> None:
    server = serving.server
    assert server is not None
    killer = threading.Timer(0.7, os.kill, (server.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(TritonpmError):
        for _ in range(20):
            serving.load("p")
            serving.unload("p")
    assert serving.manager.packages()[0].status in ("failed", "ready", "loaded")
    serving.__dict__.pop("server", None)
    assert until(lambda: embedded.running(serving.state) is None, 10)
    serving.serve(None, detach=True, timeout=60, standard_ports=False)
    serving.load("p")
    assert answers(serving)
    assert serving.status().drift == ()
