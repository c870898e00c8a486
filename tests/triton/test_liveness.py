"""A server lives as long as its process does: whatever the clock says, and whoever has its number later."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import until
from tritonpm.triton import liveness
from tritonpm.triton.embedded import Server, running
from tritonpm.triton.server import remember


@pytest.fixture
def process():
    """A process that does nothing."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def server(pid: int) -> Server:
    born = liveness.birth(pid)
    return Server(pid, liveness.time_of(born), "a:1", "a:2", "a:3", "log", "", "", "x_", born=born)


def test_a_clock_that_was_set_ends_nobody(process, tmp_path: Path) -> None:
    remember(tmp_path, replace(server(process.pid), created=time.time() - 3600))
    assert running(tmp_path) is not None
    assert liveness.server_lives(tmp_path)


def test_a_number_used_again_is_another_process(process, tmp_path: Path) -> None:
    remember(tmp_path, replace(server(process.pid), born="boot/1"))
    assert running(tmp_path) is None
    assert not liveness.server_lives(tmp_path)


def test_what_an_older_version_wrote_is_read(process, tmp_path: Path) -> None:
    """It knew the start as psutil tells it, and no birth."""
    remember(tmp_path, replace(server(process.pid), born="", created=psutil.Process(process.pid).create_time()))
    assert liveness.server_lives(tmp_path)
    remember(tmp_path, replace(server(process.pid), born="", created=1.0))
    assert not liveness.server_lives(tmp_path)


def test_a_zombie_is_dead(process, tmp_path: Path) -> None:
    remember(tmp_path, server(process.pid))
    process.kill()
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, every=0.01)
    assert psutil.pid_exists(process.pid)
    assert not liveness.server_lives(tmp_path)
    assert running(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "created": 1}'])
def test_a_file_that_says_nothing_is_no_server(tmp_path: Path, text: str) -> None:
    assert not liveness.server_lives(tmp_path)
    (tmp_path / "server.json").write_text(text)
    assert not liveness.server_lives(tmp_path)


def test_it_needs_the_standard_library_only() -> None:
    """`list` asks it, and starts in a few times what Python takes."""
    loaded = "import sys, tritonpm.triton.liveness; print([m for m in ('psutil', 'msgspec') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
