"""Questions to a process of its own: what it may take, how it ends, and that the next question is answered."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tritonpm.core.apart import Apart, Report
from tritonpm.core.sandbox import EndedError
from tritonpm.core.units import GIB, MIB

FRESH = True  # a process for each import


def echo(request: bytes, folder: Path, report: Report) -> bytes:
    report("half", 1, 2)
    print("a library that prints")
    return request + b" %d" % os.getpid()


def listed(request: bytes, folder: Path, report: Report) -> bytes:
    return " ".join(sorted(path.name for path in Path(request.decode()).iterdir())).encode()


def memory(request: bytes, folder: Path, report: Report) -> bytes:
    return bytes(bytearray(int(request)))[:1]


def endless(request: bytes, folder: Path, report: Report) -> bytes:
    while True:
        time.sleep(1)


def killed(request: bytes, folder: Path, report: Report) -> bytes:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def gives_up(request: bytes, folder: Path, report: Report) -> bytes:
    raise RuntimeError("std::bad_alloc" if request else "no such\noperator")


@pytest.fixture(autouse=True)
def functions_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process finds this module though it has no look around the working folder."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def ask(apart: Apart, folder: Path, name: str, request: bytes = b"", *, seconds: float = 60.0, **more) -> bytes:
    return apart.ask(f"{__name__}:{name}", request, folder, seconds=seconds, memory=GIB, **more)


def test_one_process_answers_all_and_is_gone_after_the_block(tmp_path):
    told = []
    with Apart() as apart:
        one, two = (
            ask(apart, tmp_path, "echo", b"?", report=lambda *what: told.append(what)).split()[1] for _ in range(2)
        )
    assert one == two
    assert told == [("half", 1, 2)] * 2
    assert not psutil.pid_exists(int(one))


@pytest.mark.parametrize(
    ("name", "request_", "seconds", "words", "limit"),
    [
        ("memory", b"%d" % (2 * GIB), 60, "needs more than 1 GiB of memory", True),
        ("endless", b"", 1, "took longer than 1 s", True),
        ("killed", b"", 60, "was killed by SIGSEGV", False),
        ("gives_up", b"", 60, "ended with RuntimeError: no such operator", False),
        ("gives_up", b"x", 60, "needs more than 1 GiB of memory", True),
        ("no_such_function", b"", 60, "AttributeError", False),
    ],
)
def test_what_ends_a_question_is_a_sentence_and_the_next_one_is_answered(
    tmp_path, name, request_, seconds, words, limit
):
    with Apart() as apart:
        with pytest.raises(EndedError, match=words) as error:
            ask(apart, tmp_path, name, request_, seconds=seconds)
        assert error.value.limit is limit
        assert ask(apart, tmp_path, "memory", b"%d" % MIB) == b"\0"


def test_a_relative_path_is_meant_from_where_it_is_asked(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"of {name}").touch()
    with Apart() as apart:
        for name in ("one", "two"):
            monkeypatch.chdir(tmp_path / name)
            (folder := tmp_path / f"folder {name}").mkdir()
            assert ask(apart, folder, "listed", b".") == f"of {name}".encode()
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        assert b"of two" in ask(apart, folder, "listed", bytes(tmp_path / "two"))
