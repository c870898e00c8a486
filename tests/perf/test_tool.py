"""Which perf_analyzer is taken, and which wheel it is got from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonpm.perf import tool
from tritonpm.perf.tool import WHEELS, wheel_for


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, and none on PATH or named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(tool.VARIABLE, raising=False)
    return tmp_path / "tritonpm"


def written(place: Path, version: str) -> None:
    place.parent.mkdir(parents=True)
    place.write_text(f"#!/bin/sh\necho 'Perf Analyzer Version {version} (commit 3a49a23)'\n")
    place.chmod(0o755)


@pytest.mark.parametrize(
    ("glibc", "package"),
    [((2, 36), "tritonclient"), ((2, 38), "perf-analyzer"), ((3, 0), "perf-analyzer"), ((0, 0), "tritonclient")],
)
def test_the_newest_wheel_that_runs_here(glibc: tuple[int, int], package: str) -> None:
    assert wheel_for(glibc).package == package


def test_this_machine_says_its_glibc() -> None:
    assert (2, 17) <= tool.glibc() < (4, 0)


def test_the_newer_one_is_preferred_and_named_by_its_wheel(nowhere: Path) -> None:
    written(nowhere / "tritonclient-2.51.0" / "perf_analyzer", "2.51.0")
    assert tool.find().version == "2.51.0"
    written(nowhere / "perf-analyzer-2.60.0" / "perf_analyzer", "0.0.0")
    found = tool.find()
    assert (found.version, found.source) == (WHEELS[0].version, "from PyPI")
    found.binary.write_text("#!/bin/sh\necho 'GLIBC_2.38 not found' >&2; exit 1\n")
    assert tool.find().version == "2.51.0"


def test_the_package_s_own_binary_goes_before_its_command(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = nowhere.parent / "site"
    written(site / "perf_analyzer/bin/perf_analyzer", "0.0.0")
    (site / "perf_analyzer/__init__.py").touch()
    (site / "perf_analyzer-2.60.0.dist-info").mkdir()
    (site / "perf_analyzer-2.60.0.dist-info/METADATA").write_text("Name: perf-analyzer\nVersion: 2.60.0\n")
    written(site / "path/perf_analyzer", "9.9.9")
    monkeypatch.setenv("PATH", str(site / "path"))
    assert tool.find().version == "9.9.9"
    monkeypatch.syspath_prepend(str(site))
    found = tool.find()
    assert (found.version, found.source) == ("2.60.0", "of the package perf-analyzer")
