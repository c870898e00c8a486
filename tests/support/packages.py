"""Package folders of small models, with samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.models import WIDTH
from tests.support.repositories import MODEL
from tritonpm.core.tensors import save_npz


def single(folder: Path, model: bytes, name: str = "p") -> Path:
    """A package of one stage, with a sample of its input."""
    folder.mkdir()
    stage = "{name: s, model: m.onnx, samples: [{inputs: i.npz}]}"
    (folder / "package.yaml").write_text(f'schema: 1\nname: {name}\nversion: "1"\nstages: [{stage}]\n')
    (folder / "m.onnx").write_bytes(model)
    save_npz(folder / "i.npz", {"x": np.linspace(0.9, 1.1, 8, dtype=np.float32).reshape(2, WIDTH)})
    return folder


def cascade(folder: Path, first: bytes, second: bytes, name: str = "c") -> Path:
    """Two stages in series, with a sample of the whole."""
    folder.mkdir()
    stages = "[{name: first, model: a.onnx}, {name: second, model: b.onnx}]"
    text = f'schema: 1\nname: {name}\nversion: "1"\nstages: {stages}\nsamples: [{{inputs: i.npz}}]\n'
    (folder / "package.yaml").write_text(text)
    (folder / "a.onnx").write_bytes(first)
    (folder / "b.onnx").write_bytes(second)
    save_npz(folder / "i.npz", {"x": np.linspace(0.999, 1.001, 8, dtype=np.float32).reshape(2, WIDTH)})
    return folder


def package(folder: Path, name: str = "p", *, expected: float = -1.0, weights: bytes = MODEL) -> Path:
    """A package of y = -x with a sample whose expected output is `expected` times the input."""
    folder.mkdir()
    text = f'schema: 1\nname: {name}\nversion: "1"\nstages:\n  - {{name: s, model: m.onnx, samples: [{{inputs: i.npz, outputs: o.npz}}]}}\n'
    (folder / "package.yaml").write_text(text)
    (folder / "m.onnx").write_bytes(weights)
    array = np.arange(1, 9, dtype=np.float32).reshape(2, 4)
    save_npz(folder / "i.npz", {"x": array})
    save_npz(folder / "o.npz", {"y": array * np.float32(expected)})
    return folder
