"""The templates travel with the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path


def test_the_wheel_carries_the_templates(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "tritonpm/_templates/config.pbtxt.j2" in names
    assert "tritonpm/backends/onnxruntime/model.py" in names
    assert not [name for name in names if name.startswith(("tests", "examples"))]
    code = "from tritonpm.repository.templates import packaged; print(packaged())"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", check=True, capture_output=True, text=True
    ).stdout.strip()
    assert Path(said) == tmp_path / "site/tritonpm/_templates"
