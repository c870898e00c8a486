"""What tests of conversions share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tritonpm.convert.conversion import Artefact
from tritonpm.core.tensors import save_npz
from tritonpm.package.signature import read_signature


def artefact(path: Path) -> Artefact:
    format, signature = read_signature(path)
    return Artefact(format, path, signature)


def samples(folder: Path, count: int = 8, width: int = 16, **extra: np.ndarray) -> tuple[str, ...]:
    random = np.random.default_rng(1)
    save_npz(folder / "samples.npz", {"x": random.normal(0, 1, (count, width)).astype(np.float32), **extra})
    return (str(folder / "samples.npz"),)


@contextmanager
def quiet(what: str) -> Iterator[object]:
    yield lambda done, total: None
