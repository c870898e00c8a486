"""A user stands in a folder that came from anywhere: what lies in it under the name of a module does not run."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.waiting import PATIENCE

TRITONPM = Path(sysconfig.get_path("scripts")) / "tritonpm"


@pytest.mark.long
@pytest.mark.server
def test_a_module_of_the_working_folder_does_not_run(tmp_path: Path) -> None:
    """Of the import's, the job's, the supervisor's and the backends' processes none looks for modules there."""
    stood_in, ran = tmp_path / "downloads", tmp_path / "ran"
    stood_in.mkdir()
    ran.mkdir()
    for module in {*sys.stdlib_module_names, *packages_distributions()} - {"__main__"}:
        trap = f"open({str(ran / module)!r}, 'w').close()\n"
        (stood_in / f"{module}.py").write_text(trap, encoding="utf-8")
    (stood_in / "bolts.onnx").write_bytes(scaled(2.0))
    environment = {**os.environ, "TRITONPM_WORKSPACE": str(tmp_path / "line-3"), "TRITONPM_BACKENDS": "python"}

    def tritonpm(*arguments: str) -> str:
        ended = subprocess.run(
            [TRITONPM, *arguments], cwd=stood_in, env=environment, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        assert not list(ran.iterdir())
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    tritonpm("init")
    tritonpm("import", "bolts.onnx")
    tritonpm("serve", "--detach")
    try:
        tritonpm("load", "bolts")
        tritonpm("optimize", "bolts", "--optimizer", "openvino")
        assert tritonpm("infer", "bolts")
    finally:
        tritonpm("stop")
