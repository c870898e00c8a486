"""The tutorial, line by line, as somebody types it in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/tutorial.md"


@pytest.mark.server
@pytest.mark.long
def test_every_line_runs(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "make_model.py").write_text(program)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRITON")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    lines = re.findall(r"(?m)^\$ (.*)$", text)
    assert len(lines) > 10
    try:
        for line in lines:
            ended = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
    finally:
        subprocess.run("tritonpm stop", shell=True, cwd=tmp_path, env=environment, capture_output=True)
