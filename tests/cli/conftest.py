"""Fixtures of the command line's tests: a package, and a workspace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import TRITONPM, run
from tests.support.repositories import MODEL
from tritonpm.core.tensors import save_npz

MANIFEST = """
schema: 1
name: bolts
version: "1.2"
exporter: {name: hand, version: "3"}
stages:
  - {name: invert, model: model.onnx, task: image classification, labels: [a, b, c, d],
     samples: [{inputs: in.npz, outputs: out.npz}]}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package folder with a sample."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "package.yaml").write_text(MANIFEST)
    (folder / "model.onnx").write_bytes(MODEL)
    array = np.arange(8, dtype=np.float32).reshape(2, 4)
    save_npz(folder / "in.npz", {"x": array})
    save_npz(folder / "out.npz", {"y": -array})
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A workspace in a path with a blank; its server is stopped at the end."""
    root = tmp_path / "a workspace"
    run("init", root)
    yield root
    subprocess.run([*TRITONPM, "stop", "-w", root], capture_output=True, check=False)
