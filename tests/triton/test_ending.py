"""A server is ended whatever it does, nobody else is, and what lasts too long is a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.support.lint.cases import model
from tritonpm.core.errors import ServerError
from tritonpm.triton import embedded, ending, liveness
from tritonpm.triton.client import Client
from tritonpm.triton.server import Server, region_prefix, remember

DEAF = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def of(pid: int, state: Path) -> Server:
    """What would be written down of a server with that process."""
    born = liveness.birth(pid)
    created = liveness.time_of(born)
    return Server(pid, created, "a:1", "a:2", "a:3", str(state / "log"), "", "", region_prefix(state), born=born)


@pytest.fixture
def spawn():
    """Starts processes in a session of their own, and ends them."""
    started: list[subprocess.Popen[str]] = []

    def spawned(source: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", source, *arguments]
        ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, **ends, text=True, start_new_session=True))
        return started[-1]

    yield spawned
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()


def test_who_has_the_number_of_a_dead_server_is_left_alone(spawn, tmp_path: Path) -> None:
    """A machine that is busy uses numbers again soon: the process may be another workspace's server."""
    other = spawn("print(flush=True); print(input(), flush=True)")
    other.stdout.readline()
    dead = replace(of(other.pid, tmp_path), born="boot/1")
    remember(tmp_path, dead)
    embedded.stop(dead, tmp_path, timeout=5)
    other.stdin.write("lives\n")
    other.stdin.flush()
    assert other.stdout.readline() == "lives\n"
    assert not (tmp_path / "server.json").exists()


def test_one_that_ignores_term_is_killed(spawn, tmp_path: Path) -> None:
    process = spawn(DEAF)
    process.stdout.readline()
    server = of(process.pid, tmp_path)
    embedded.stop(server, tmp_path, timeout=0.2)
    assert not server.alive


def test_one_that_is_stopped_is_killed(spawn, tmp_path: Path) -> None:
    process = spawn("import time; print(flush=True); time.sleep(600)")
    process.stdout.readline()
    server = of(process.pid, tmp_path)
    os.kill(process.pid, signal.SIGSTOP)
    embedded.stop(server, tmp_path, timeout=0.2)
    assert not server.alive


def test_a_zombie_that_nobody_reaps_has_ended(spawn, tmp_path: Path) -> None:
    """In a container process 1 often never looks after what it inherits."""
    parent = spawn(PARENT)
    pid = int(parent.stdout.readline())
    server = of(pid, tmp_path)
    embedded.stop(server, tmp_path, timeout=5)
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not server.alive


def test_not_even_kill_is_a_sentence(spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the process waits for a disk that hangs: signals change nothing."""
    process = spawn(DEAF)
    process.stdout.readline()
    monkeypatch.setattr(ending, "KILLED", 0.2)
    monkeypatch.setattr(ending.os, "killpg", lambda *_: None)
    with pytest.raises(ServerError, match=rf"pid {process.pid}\) has not ended 0.2 s after it was killed"):
        embedded.stop(of(process.pid, tmp_path), tmp_path, timeout=0.1)


STUB = "import sys, time; print(flush=True); time.sleep(600)"


def test_only_stubs_without_their_server_are_swept(spawn, tmp_path: Path) -> None:
    """A server may start while leftovers are looked for: its stubs are in the process group of a living one."""
    named = ("triton_python_backend_stub", f"{region_prefix(tmp_path)}region")
    leader = f"""
import subprocess, sys, time
stub = subprocess.Popen([sys.executable, "-c", {STUB!r}, *sys.argv[1:]])
print(stub.pid, flush=True)
time.sleep(float({{pause}}))
"""
    living = spawn(leader.format(pause=600), *named)
    stub = int(living.stdout.readline())
    dead = spawn(leader.format(pause=0), *named)
    orphan = int(dead.stdout.readline())
    dead.wait()
    try:
        embedded.sweep(tmp_path)
        assert liveness.birth(stub)
        assert not liveness.birth(orphan)
    finally:
        for pid in (stub, orphan):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.server
@pytest.mark.usefixtures("python_backends")
def test_a_real_server_that_is_stopped_goes_with_its_stubs(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    model(tmp_path / "models")
    server = embedded.start(embedded.find(), tmp_path / "models", tmp_path / "state")
    with Client(server.grpc, protocol="grpc") as client:
        client.load_and_wait("m")
    os.kill(server.pid, signal.SIGSTOP)
    embedded.stop(server, tmp_path / "state", timeout=0.5)
    assert not server.alive
    assert not list(Path("/dev/shm").glob(f"{server.regions}*"))
