"""A model and what lies around it: weights beside an ONNX model under names of ours, nothing before a plan.

A file's name can be code to somebody (`libtriton_onnxruntime.so` beside a model is a backend to Triton), so none that
a package chose reaches a model folder. Ours says what the file holds, so it is the same however often it is given.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tritonpm.core.types import Format
from tritonpm.package.code import allow, code_in_file
from tritonpm.package.limits import Limits
from tritonpm.package.signature import InspectedModel, inspect_model
from tritonpm.package.staging import CHUNK
from tritonpm.package.tree import Tree

_DIGITS = 32  # of the digest, in a name


def inspected(tree: Tree, path: str, allow_code: bool, limits: Limits, format: Format | None = None) -> InspectedModel:
    """What a model of the tree tells, once its external data have our names and it names them so, and it stands alone.

    Raises PackageError; UnsafeError where one of its files is code that was not allowed.
    """
    from tritonpm.package.signature.onnx import running_operator
    from tritonpm.package.signature.wire import relocate

    where = f"{tree.where}: {path}"
    model = inspect_model(tree.root / path, where, limits, format)
    folder = PurePosixPath(path).parent
    for file in model.files:
        place = str(folder / file)
        if place != path or model.format is not Format.ONNX:
            allow(code_in_file(place, tree.root / place), f"{tree.where}: {place}", allow_code)
    if model.format is not Format.ONNX:
        if model.starts:
            tree.replace(path, _after(tree.root / path, model.starts))
        return model
    if operator := running_operator(tree.root / path, where, limits):
        allow(f"uses the operator {operator}, which is code", where, allow_code)
    names = {name: _name(tree.files[str(folder / name)].digest) for name in model.files[1:]}
    moved = {old: new for old, new in names.items() if old != new}
    if not moved:
        return model
    for old, new in moved.items():
        tree.rename(str(folder / old), str(folder / new))
    with (tree.root / path).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tree.replace(path, relocate(data, names, where, limits))
    return inspect_model(tree.root / path, where, limits, format)


def _after(path: Path, start: int) -> Iterator[bytes]:
    """A file from a byte on, also once it has lost its name."""
    stream = path.open("rb")

    def chunks() -> Iterator[bytes]:
        with stream:
            stream.seek(start)
            yield from iter(lambda: stream.read(CHUNK), b"")

    return chunks()


def _name(digest: str) -> str:
    return f"weights-{digest.removeprefix('sha256:')[:_DIGITS]}.bin"
