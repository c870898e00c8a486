"""Which kind of backends a server gets, and why not the other."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tritonpm.core.errors import ServerError
from tritonpm.operations.doctor import doctor
from tritonpm.triton import compiled
from tritonpm.triton.installation import find, prepare_backends


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a compiler, to whom nothing was built yet; their cache."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(compiled.VARIABLE, "compiled")
    return tmp_path / "cache"


def compiler(bare: Path, script: str) -> None:
    path = bare.parent / "bin/c++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def backend(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    changed = replace(compiled._BACKENDS["onnxruntime"], **changes)  # type: ignore[arg-type]
    monkeypatch.setitem(compiled._BACKENDS, "onnxruntime", changed)


def refusal() -> str:
    with pytest.raises(ServerError, match="compiled onnxruntime backend does not run here") as refused:
        compiled.chosen("onnxruntime")
    return str(refused.value)


def test_python_based_ones_serve_where_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "python")
    assert [compiled.chosen(name) for name in compiled.NAMES] == [None, None]
    assert not any(map(compiled.unbuilt, compiled.NAMES))


def test_python_based_ones_serve_where_the_others_do_not_run(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compiled.VARIABLE)
    assert [compiled.chosen(name) for name in compiled.NAMES] == [None, None]
    assert not any(map(compiled.unbuilt, compiled.NAMES))
    compiler(bare, 'while [ "$1" != -o ]; do shift; done; echo built >> "$2"')
    assert all(map(compiled.unbuilt, compiled.NAMES))
    assert all(map(compiled.chosen, compiled.NAMES))
    assert not any(map(compiled.unbuilt, compiled.NAMES))


def test_another_kind_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "rust")
    with pytest.raises(ServerError, match="there are no rust backends") as refused:
        compiled.chosen("onnxruntime")
    assert f"${compiled.VARIABLE}" in str(refused.value)


def test_without_a_compiler(bare: Path) -> None:
    assert "there is no C++ compiler here" in refusal()
    assert "there is no C++ compiler here" in compiled.why_not("openvino")
    [check] = [check for check in doctor() if check.name == "compiled backends"]
    assert not check.ok
    assert not check.needed
    assert not compiled.place().exists()


def test_a_compiler_that_fails_leaves_nothing(bare: Path) -> None:
    compiler(bare, "echo 'x.cc:1: error: no such thing' >&2; exit 1")
    assert "x.cc:1: error: no such thing" in refusal()
    assert [path.suffix for path in compiled.place().iterdir()] == [".lock"]


def test_a_cache_that_is_no_folder(bare: Path) -> None:
    compiler(bare, "exit 0")
    bare.write_text("")
    assert "it cannot be kept in" in refusal()


def test_what_is_built_is_built_once(bare: Path) -> None:
    compiler(bare, 'while [ "$1" != -o ]; do shift; done; echo built >> "$2"')
    for _ in range(2):
        chosen = compiled.chosen("onnxruntime")
        assert chosen is not None
        assert chosen.library.read_text() == "built\n"
    compiler(bare, "exit 1")
    assert compiled.chosen("onnxruntime") == chosen


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"package": "no_such_package"}, "Python has no package no_such_package"),
        ({"library": "capi/libother.so.*"}, "this onnxruntime has no libother.so.*"),
        ({"for_gpus": "__init__.py"}, "built for GPUs"),
    ],
)
def test_a_runtime_that_does_not_fit(bare: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, reason: str) -> None:
    compiler(bare, 'while [ "$1" != -o ]; do shift; done; : > "$2"')
    backend(monkeypatch, **changes)
    assert reason in refusal()
    assert reason in compiled.why_not("onnxruntime")


def test_the_folder_says_what_runs(bare: Path, tmp_path: Path) -> None:
    compiler(bare, 'while [ "$1" != -o ]; do shift; done; : > "$2"')
    folder = prepare_backends(find(), tmp_path / "backends")
    assert {path.name: compiled.kind(path) for path in folder.iterdir() if path.name in compiled.NAMES} == {
        "onnxruntime": "compiled",
        "openvino": "compiled",
    }
    assert not list(folder.rglob("model.py"))
    (folder / "native").symlink_to(folder / "onnxruntime")
    assert compiled.kind(folder / "native") == "native"


def test_every_source_is_compiled_into_one_of_them() -> None:
    used = {*compiled._SHARED, *(source for each in compiled._BACKENDS.values() for source in each.sources)}
    assert used == {path.stem for path in compiled.SOURCES.glob("*.cc")}
    assert shutil.which("c++"), "the tests of the compiled backends need a compiler"
