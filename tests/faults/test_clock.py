"""The clock is set, by years, while things are going on: nothing that runs is taken for dead, and nothing dead for alive.

A library lies between the programs and the clock; the time since the start of the machine goes on as it does.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import TRITONPM
from tests.support.models import scaled
from tests.support.packages import single
from tests.support.waiting import PATIENCE
from tests.support.workspaces import opened
from tritonpm.operations.init import init
from tritonpm.operations.verify import verify

SOURCE = Path(__file__).parent.parent / "support/set_clock.c"
At = Callable[..., str]
YEAR = 365 * 24 * 3600
JUMPS = (0, 10 * YEAR, -5 * YEAR, 3 * 24 * 3600, -3600, 0)  # seconds; it begins and ends now


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is preloaded to set a program's clock."""
    made = tmp_path_factory.mktemp("clock") / "set_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", made, SOURCE], check=True)
    return made


@pytest.fixture
def at(library: Path) -> At:
    """Runs a command at a time that is so many seconds later; what it says."""

    def ran(jump: int, *arguments: object, workspace: Path, code: int = 0) -> str:
        clock = {"LD_PRELOAD": str(library), "CLOCK_JUMP": str(jump), "TRITONPM_WORKSPACE": str(workspace)}
        ended = subprocess.run(
            [*TRITONPM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=PATIENCE,
            env={**os.environ, **clock},
        )  # fmt: skip
        assert ended.returncode == code, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stdout + ended.stderr

    return ran


@pytest.fixture
def root(tmp_path: Path) -> Path:
    init(tmp_path / "w")
    return tmp_path / "w"


@pytest.mark.long
def test_packages_come_change_and_go(root: Path, tmp_path: Path, at: At) -> None:
    for number, jump in enumerate(JUMPS, 2):
        source = single(tmp_path / str(number), scaled(float(number)), f"p{number}")
        assert f"p{number}" in at(jump, "import", source, workspace=root)
        at(jump, "set", "p2", "--priority", number % 2 + 1, workspace=root)
        assert at(jump, "list", workspace=root).count("imported") == number - 1
    assert "p2" in at(-5 * YEAR, "remove", "p2", workspace=root)
    assert verify(opened(root)) == []


@pytest.mark.long
def test_a_job_is_neither_lost_nor_kept(root: Path, tmp_path: Path, at: At) -> None:
    at(0, "import", single(tmp_path / "p", scaled(2.0), "p"), workspace=root)
    jobs = opened(root).catalogue.jobs
    job = jobs.create("p", {})
    sleeping = subprocess.Popen(["sleep", "600"])
    jobs.owned(job.id, sleeping.pid)
    try:
        for jump in JUMPS:
            assert "is being optimised" in at(jump, "remove", "p", workspace=root, code=4)
    finally:
        sleeping.kill()
        sleeping.wait()
    for jump in JUMPS[:-1]:
        assert "interrupted" in at(jump, "jobs", workspace=root)
    at(-5 * YEAR, "remove", "p", workspace=root)


def test_a_job_that_was_never_started_is_not_waited_for(root: Path, tmp_path: Path, at: At) -> None:
    at(0, "import", single(tmp_path / "p", scaled(2.0), "p"), workspace=root)
    opened(root).catalogue.jobs.create("p", {})
    assert "interrupted" in at(-5 * YEAR, "jobs", workspace=root)
    at(-5 * YEAR, "remove", "p", workspace=root)


@pytest.mark.long
@pytest.mark.server
def test_a_server_is_the_same_whatever_the_time(root: Path, tmp_path: Path, at: At) -> None:
    at(0, "import", single(tmp_path / "p", scaled(2.0), "p"), workspace=root)
    at(0, "serve", "--detach", "--http-port", 0, "--grpc-port", 0, "--metrics-port", 0, workspace=root)
    try:
        assert "Loaded p" in at(10 * YEAR, "load", "p", workspace=root)
        for jump in JUMPS:
            assert "loaded" in at(jump, "list", workspace=root)
            at(jump, "infer", "p", workspace=root)
            assert "already running" in at(jump, "serve", "--detach", workspace=root, code=4)
    finally:
        at(3 * YEAR, "stop", workspace=root)
    assert "ready" in at(-3600, "list", workspace=root)
