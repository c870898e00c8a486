"""The embedded server: found, started, one for each state folder, stopped, and nothing left of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.repositories import BASE, model
from tests.support.waiting import until
from tritonpm.core.errors import BusyError, ServerError
from tritonpm.triton import embedded
from tritonpm.triton.client import Client
from tritonpm.triton.installation import VARIABLE, find
from tritonpm.triton.server import remember

pytestmark = pytest.mark.server


def repository(root: Path) -> Path:
    (root / "models").mkdir()
    model(root / "models")
    return root / "models"


def gone(server: embedded.Server) -> bool:
    """Neither the server nor a stub nor a region of it is left."""
    stubs = [p for p in psutil.process_iter(["cmdline"]) if any(server.regions in c for c in p.info["cmdline"] or ())]
    return not server.alive and not stubs and not list(Path("/dev/shm").glob(f"{server.regions}*"))


def test_named_server_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match=r"--tritonserver: .*not an executable file"):
        find(tmp_path / "nothing")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(ServerError, match=VARIABLE):
        find()


def test_the_carrier_is_found() -> None:
    found = find()
    assert found.binary.is_file()
    assert "nvidia-pytriton" in found.source


def test_life_of_a_server_in_a_path_with_blanks(tmp_path: Path) -> None:
    root = tmp_path / "a path with blanks"
    root.mkdir()
    server = embedded.start(embedded.find(), repository(root), root / "state")
    assert embedded.running(root / "state") == server
    assert server.http.startswith("127.0.0.1:")
    with pytest.raises(BusyError, match=f"pid {server.pid}"):
        embedded.start(embedded.find(), root / "models", root / "state")
    with Client(server.http) as client:
        assert client.load_and_wait("m").state == "READY"
    embedded.stop(server, root / "state", timeout=15)
    assert gone(server)
    assert embedded.running(root / "state") is None


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"--grpc-port: cannot bind to 127.0.0.1:{port}"):
            embedded.start(embedded.find(), repository(tmp_path), tmp_path / "state", grpc_port=port)
    assert embedded.running(tmp_path / "state") is None


@pytest.mark.parametrize(
    ("option", "why"),
    [("--no-such-option", "unrecognized option '--no-such-option'"), ("--http-port=abc", "Got abc")],
)
def test_a_server_that_ends_at_its_start_says_why(tmp_path: Path, option: str, why: str) -> None:
    with pytest.raises(ServerError, match=f"ended at its start with code 1: .*{why}"):
        embedded.start(embedded.find(), repository(tmp_path), tmp_path / "state", arguments=[option])


def test_after_kill_9_of_the_server_nothing_is_left(tmp_path: Path) -> None:
    server = embedded.start(embedded.find(), repository(tmp_path), tmp_path / "state")
    with Client(server.grpc, protocol="grpc") as client:
        client.load_and_wait("m")
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: embedded.running(tmp_path / "state") is None)
    again = embedded.start(embedded.find(), tmp_path / "models", tmp_path / "state")
    assert again.pid != server.pid
    embedded.stop(again, tmp_path / "state", timeout=15)
    assert gone(again)


STARTER = """
import sys, time
from pathlib import Path
from tritonpm.triton import embedded
root = Path(sys.argv[1])
for name in ("foreground", "detached"):
    embedded.start(embedded.find(), root / "models", root / name, detach=name == "detached")
print("started", flush=True)
time.sleep(60)
"""


def test_in_the_foreground_it_dies_with_its_parent_detached_it_stays(tmp_path: Path) -> None:
    repository(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    foreground, detached = (embedded.running(tmp_path / name) for name in ("foreground", "detached"))
    assert foreground is not None
    assert detached is not None
    try:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        until(lambda: gone(foreground))
        assert detached.alive
        with Client(detached.http) as client:
            assert client.load_and_wait("m").state == "READY"
    finally:
        embedded.stop(detached, tmp_path / "detached", timeout=15)
    assert gone(detached)


def test_a_stale_state_file_with_a_pid_used_again_is_no_server(tmp_path: Path) -> None:
    server = embedded.Server(os.getpid(), 1.0, "a:1", "a:2", "a:3", "log", "", "", "x_")
    remember(tmp_path, server)
    assert embedded.running(tmp_path) is None


def test_only_our_own_regions_are_swept(tmp_path: Path) -> None:
    ours = Path("/dev/shm") / f"{embedded.region_prefix(tmp_path)}left"
    foreign = Path("/dev/shm") / f"foreign_{os.getpid()}"
    ours.touch()
    foreign.touch()
    try:
        embedded.sweep(tmp_path)
        assert not ours.exists()
        assert foreign.exists()
    finally:
        foreign.unlink()


def test_a_broken_config_is_explained_by_the_log(tmp_path: Path) -> None:
    models = repository(tmp_path)
    (models / "m/config.pbtxt").write_text(BASE + "unknown: 1")
    server = embedded.start(embedded.find(), models, tmp_path / "state")
    try:
        with Client(server.http) as client, pytest.raises(ServerError, match="failed to poll"):
            client.load("m")
        assert any(
            "unknown" in reason or "parse" in reason.lower() for reason in embedded.reasons(Path(server.log), "m")
        )
    finally:
        embedded.stop(server, tmp_path / "state", timeout=15)


def test_our_secrets_are_not_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRITONPM_UI_TOKEN", "AWS_SECRET_ACCESS_KEY", "ANYTHING_ELSE"):
        monkeypatch.setenv(name, "a secret of ours")
    server = embedded.start(embedded.find(), repository(tmp_path), tmp_path / "state")
    try:
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert not any("a secret of ours" in process.environ().values() for process in family)
    finally:
        embedded.stop(server, tmp_path / "state", timeout=15)
