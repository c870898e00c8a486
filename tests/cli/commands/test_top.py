"""`tritonpm top` as a user types it: without a server, with one, with GPUs, and live on a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.command import TRITONPM, run
from tests.support.fake_nvml import build, variables
from tests.support.models import scaled
from tests.support.packages import single
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace whose server has a package, in a process of its own."""
    root = tmp_path_factory.mktemp("a workspace")
    run("init", root)
    run("import", single(root / "in", scaled(2.0), name="bolts"), workspace=root)
    try:
        run("serve", "--detach", workspace=root, TRITONPM_BACKENDS="python")
        run("load", "bolts", workspace=root)
        yield root
    finally:
        subprocess.run([*TRITONPM, "stop", "-w", root], capture_output=True, check=False, timeout=60)


def test_without_a_server(tmp_path: Path) -> None:
    run("init", tmp_path)
    said = run("top", "--once", "--interval", 0.2, workspace=tmp_path)
    assert "no server is running for this workspace; start one with `tritonpm serve --detach`" in said
    assert "cores, CPU" in said
    elsewhere = run("top", "--interval", 0.2, "--server", "127.0.0.1:1", workspace=tmp_path)
    assert "127.0.0.1:1 does not answer: no Triton answers" in elsewhere
    assert "not a metrics endpoint" in run(
        "top", "--server", "127.0.0.1:1", "--metrics", "x", workspace=tmp_path, code=2
    )


def test_a_table_and_a_snapshot(workspace: Path) -> None:
    said = run("top", "--once", "--interval", 0.2, workspace=workspace).splitlines()
    header, row = said[said.index("") + 1 :][:2]
    assert header.split()[:3] == ["PACKAGE", "REQ/S", "INFER/S"]
    assert row.split()[:4] == ["bolts", "0", "0", "0"]
    told = json.loads(run("top", "--interval", 0.2, "-o", "json", workspace=workspace))
    assert (told["kind"], told["data"]["number"], told["data"]["server"]["state"]) == ("Snapshot", 2, "live")
    [package] = told["data"]["packages"]
    assert (package["name"], package["usage"]["processes"], package["rates"]["requests_per_second"]) == ("bolts", 1, 0)


def test_gpus_and_what_packages_have_there(workspace: Path, tmp_path: Path) -> None:
    server = json.loads((workspace / ".tritonpm/server/server.json").read_text())
    [stub] = psutil.Process(server["pid"]).children(recursive=True)
    environment = variables(build(tmp_path), pid=stub.pid)
    command = [*TRITONPM, "top", "--interval", "0.2", "-w", str(workspace)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "512 MiB" in next(line for line in said.splitlines() if line.startswith("bolts"))
    assert next(line for line in said.splitlines() if line.startswith("4.3")).split()[1:4] == ["Fake", "MIG", "1g.5gb"]
    assert "GPU 1: processes: no permission to read it." in said
    assert "GPU 2: the GPU is lost: it no longer answers on the bus." in said


def test_live_on_a_terminal_until_it_is_interrupted(workspace: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*TRITONPM, "top", "--interval", "0.2", "-w", str(workspace)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        try:
            drawn = _read_until(ours, b"bolts", times=3)
            process.send_signal(signal.SIGINT)
            drawn += _read_until(ours, b"\x1b[?1049l", times=1)  # the screen that was there before is back
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            os.close(ours)
    assert b"Traceback" not in drawn


def _read_until(terminal: int, word: bytes, *, times: int) -> bytes:
    seen, deadline = b"", time.monotonic() + PATIENCE
    os.set_blocking(terminal, False)
    while seen.count(word) < times:
        assert time.monotonic() < deadline, seen[-2000:]
        try:
            seen += os.read(terminal, 1 << 16)
        except BlockingIOError:
            time.sleep(0.02)
    return seen
