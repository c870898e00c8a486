"""One of each that tritonpm takes from others: a format, a source of packages, a store, a rule of a site."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def convert(source: Path, folder: Path) -> Path:
    """A .toy file holds a number, by which the model multiplies; what is returned lies in `folder`."""
    import onnx.parser

    factor = float(source.read_text())
    text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[N,4] y) <float f = {{{factor}}}> {{ y = Mul(x, f) }}'
    onnx.save(onnx.parser.parse_model(text), folder / "model.onnx")
    return folder / "model.onnx"


def fetch(url: str, folder: Path, task: Any) -> Path:
    """toy://NAME/NUMBER is a .toy file of that name."""
    name, _, number = url.removeprefix("toy://").partition("/")
    (folder / f"{name}.toy").write_text(number)
    return folder / f"{name}.toy"


def shelf(location: Any) -> Any:
    """shelf://BUCKET/PREFIX is a folder below the one that TOY_SHELF names."""
    from obstore.store import LocalStore

    return LocalStore(Path(os.environ["TOY_SHELF"]) / location.bucket, mkdir=True)


def owner(folder: Path, config: Any) -> Iterator[tuple[str, str]]:
    """Every model says who answers for it."""
    if "owner" not in config.parameters:
        yield "parameters", f"nobody is named as the owner of {folder.name}"
