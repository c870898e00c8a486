"""The server is killed, stopped or hangs: it comes back with what it had, or is given up with the reason."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.support.consistency import apart, impatient
from tests.support.models import WIDTH, scaled
from tests.support.packages import single
from tests.support.python_models import ANSWER, HEAD, python_model
from tests.support.supervised import kill_server, kill_stub
from tests.support.waiting import PATIENCE, until
from tests.support.workspaces import QUICKLY, opened, running
from tritonpm.core.errors import ServerError, TritonpmError, UnreachableError
from tritonpm.operations import supervise as supervisor
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.load import load
from tritonpm.operations.serve import load_all_proved, serve
from tritonpm.operations.server import connect, is_loaded
from tritonpm.operations.status import status
from tritonpm.operations.stop import stop
from tritonpm.operations.sync import sync
from tritonpm.operations.unload import unload
from tritonpm.triton import compiled, embedded
from tritonpm.triton.client import Client

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
STOPS = int(os.environ.get("TRITONPM_KILLS", "2"))
ONES = {"x": np.ones((1, WIDTH), np.float32)}


@pytest.fixture
def context(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    monkeypatch.setenv(compiled.VARIABLE, getattr(request, "param", "python"))
    init(tmp_path / "a workspace")
    context = opened(tmp_path / "a workspace")
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    serve(context, None, **QUICKLY)
    yield context
    stop(context, 15)


def answers(context: Context) -> bool:
    try:
        with connect(context) as client:
            return float(client.infer("p", ONES)["y"][0, 0]) == 2.0
    except TritonpmError:
        return False


@pytest.mark.parametrize("context", compiled.KINDS, indirect=True)
def test_a_killed_server_comes_back_with_its_packages(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as a compiled backend would end it, which has no process of its own."""
    load(context, "p")
    kinds = status(context).backends
    assert kinds["onnxruntime"] == os.environ[compiled.VARIABLE]
    said: list[str] = []
    keeper = threading.Thread(target=supervisor.supervise, args=(context, said.append))
    stays, stay = threading.Event(), supervisor._stay
    monkeypatch.setattr(supervisor, "_stay", lambda *told: (stays.set(), stay(*told)))
    keeper.start()
    assert stays.wait(PATIENCE)  # before, there would be no server that it could stay with
    before = running(context)
    os.kill(before.pid, signal.SIGSEGV if kinds["onnxruntime"] == "compiled" else signal.SIGKILL)
    until(lambda: any("Loaded p again" in each for each in said), said)
    assert answers(context)
    after = embedded.running(context.workspace.server)
    assert after is not None
    assert (after.http, after.grpc) == (before.http, before.grpc)
    assert after.pid != before.pid
    assert status(context).backends == kinds
    stop(context, 15)
    keeper.join(PATIENCE)
    assert not keeper.is_alive()


def test_a_crash_loop_is_given_up_with_the_reason(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_PAUSE", 0.05)
    started = []

    def again(context: Context, before: embedded.Server, say: object) -> embedded.Server:
        started.append(before.pid)
        return before  # which is dead: it ended at once

    monkeypatch.setattr(supervisor, "_again", again)
    server = running(context)
    os.kill(server.pid, signal.SIGKILL)
    monkeypatch.setattr(supervisor, "own_server", lambda context: server)  # also where it is gone by now
    with pytest.raises(ServerError, match=f"ended {supervisor.RESTARTS} times within"):
        supervisor.supervise(context, lambda sentence: None)
    assert len(started) == supervisor.RESTARTS - 1


def test_a_server_that_is_stopped_during_a_load_is_a_sentence_and_the_next_load_succeeds(context: Context) -> None:
    server = running(context)
    process = psutil.Process(server.pid)
    process.suspend()
    try:
        with pytest.raises(ServerError, match="did not answer in time"), connect(context, load_timeout=2.0) as client:
            client.timeout = 2.0
            client.load_and_wait("p", timeout=2.0)
    finally:
        process.resume()
    load(context, "p")
    assert answers(context)


def test_a_server_killed_during_a_load_leaves_what_is_recorded_true(context: Context) -> None:
    server = running(context)
    killer = threading.Timer(0.7, os.kill, (server.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(TritonpmError):
        for _ in range(20):
            load(context, "p")
            unload(context, "p")
    assert packages(context.catalogue)[0].status in ("failed", "ready", "loaded")
    until(lambda: embedded.running(context.workspace.server) is None)
    serve(context, None, **QUICKLY)
    load(context, "p")
    assert answers(context)
    assert status(context).drift == ()


def stopped(context: Context) -> psutil.Process:
    """The server, stopped where it is: its sockets take what is sent, and nothing answers."""
    process = psutil.Process(running(context).pid)
    process.suspend()
    return process


def settled(context: Context) -> None:
    """What the server was asked before it was stopped is done, and what it serves is what was proved, after sync.

    One that was stopped for long, on a loaded machine, was ended by who supervises, and comes back first.
    """

    def idle() -> bool:
        with suppress(UnreachableError), connect(context) as client:
            return not any(state.state in ("LOADING", "UNLOADING") for state in client.index())
        return False

    until(idle)
    assert [reason for *_, reason in sync(context) if reason] == []
    assert apart(context) == []


def test_clients_of_a_stopped_server_are_told_and_answered_rightly_afterwards(context: Context) -> None:
    load(context, "p")
    told, right = [], []

    def work(protocol: str) -> None:
        with Client(getattr(running(context), protocol), protocol=protocol, timeout=0.5) as client:
            for number in itertools.count(1):
                try:
                    answer = client.infer("p", {"x": np.full((1, WIDTH), number, np.float32)})
                except ServerError as error:
                    told.append(str(error))
                    continue
                assert float(answer["y"][0, 0]) == 2.0 * number
                right.append(protocol)
                if resumed.is_set():
                    return

    resumed = threading.Event()
    with ThreadPoolExecutor() as pool:
        clients = [pool.submit(work, protocol) for protocol in ("http", "grpc")]
        until(lambda: {"http", "grpc"} == set(right))
        process = stopped(context)
        try:
            until(lambda: len(told) >= 4)
        finally:
            process.resume()
            resumed.set()
        assert [each.result(PATIENCE) for each in clients] == [None, None]
    settled(context)


def test_a_server_that_is_stopped_in_the_middle_of_changes(context: Context) -> None:
    hasty, dice, told = impatient(context.workspace.root, running(context).http), random.Random(1), 0
    process = psutil.Process(running(context).pid)
    for number in range(STOPS):
        stop = threading.Timer(dice.random() * 1.5, process.suspend)
        stop.start()
        try:
            load(hasty, "p") if number % 2 == 0 else unload(hasty, "p", force=True)
        except TritonpmError:
            told += 1
        finally:
            stop.join()
            process.resume()
        settled(context)
        assert answers(context) == is_loaded(context, "p")
    assert STOPS < 4 or told
    print(f"{STOPS} stops of the server in the middle of changes, {told} sentences, nothing lost")


@pytest.mark.long
def test_a_stub_that_dies_with_what_it_was_asked_holds_no_unload(context: Context, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    slowly = f"        import pathlib, time; time.sleep(600 * pathlib.Path({str(flag)!r}).exists())\n"
    python_model(tmp_path / "models", "slow", HEAD + slowly + ANSWER, "max_batch_size: 0\n")
    import_package(context, tmp_path / "models/slow", allow_code=True)
    load(context, "slow")
    flag.touch()
    with Client(running(context).http, timeout=1.0) as client, pytest.raises(ServerError, match="in time"):
        client.infer("slow", {"X": np.zeros(client.metadata("slow").inputs[0].shape, np.float32)})
    kill_stub(context, "slow")
    unload(context, "slow")
    flag.unlink()
    load(context, "slow")


@pytest.mark.long
def test_a_port_that_somebody_else_took_meanwhile_is_waited_for(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RESTARTS", 2)
    taken, start_again = threading.Event(), supervisor.start_again
    monkeypatch.setattr(supervisor, "start_again", lambda *a, **k: (taken.wait(), start_again(*a, **k))[1])
    load(context, "p")
    said: list[str] = []
    keeper = threading.Thread(target=supervisor.supervise, args=(context, said.append))
    keeper.start()
    server = kill_server(context)
    host, _, port = server.http.rpartition(":")
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind((host, int(port)))
        somebody.listen()
        taken.set()
        until(lambda: sum("cannot bind" in sentence for sentence in said) > 1, said)
    until(lambda: any("Loaded p again" in sentence for sentence in said), said)
    assert running(context).http == server.http
    stop(context, 15)
    keeper.join(PATIENCE)
    assert not keeper.is_alive()


def test_a_server_that_hangs_while_what_it_had_is_brought_back_is_ended(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "HANGS", 1.0)
    monkeypatch.setattr(supervisor, "_GRACE", 0.5)
    load(context, "p")
    server = running(context)
    stopped(context)
    said: list[str] = []
    keeper = threading.Thread(target=supervisor.supervise, args=(context, said.append))
    keeper.start()
    until(lambda: not server.alive, said)  # at once, and not when who asks it has given up
    until(lambda: any("Loaded p again" in sentence for sentence in said), said)
    stop(context, 15)
    keeper.join(PATIENCE)
    assert not keeper.is_alive()


def test_a_server_that_hangs_is_ended_and_comes_back(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "HANGS", 1.0)
    monkeypatch.setattr(supervisor, "_GRACE", 0.5)
    load(context, "p")
    said: list[str] = []
    keeper = threading.Thread(target=supervisor.supervise, args=(context, said.append))
    keeper.start()
    stopped(context)
    until(lambda: any("Loaded p again" in each for each in said), said)
    assert "has not answered for 1 s" in said[0]
    assert answers(context)
    assert status(context).drift == ()
    stop(context, 15)
    keeper.join(PATIENCE)
    assert not keeper.is_alive()


def test_a_stopped_server_can_be_ended(context: Context) -> None:
    load(context, "p")
    process = stopped(context)
    assert stop(context, 1.0)
    assert not process.is_running()
    assert not list(Path("/dev/shm").glob(f"{embedded.region_prefix(context.workspace.server)}*"))
    serve(context, None, **QUICKLY)
    assert list(load_all_proved(context)) == [("p", "")]
    assert answers(context)
