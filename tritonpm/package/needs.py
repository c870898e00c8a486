"""What a model file asks of the runtime that loads it: the version of its format, and of its operators."""

from __future__ import annotations

import re
from pathlib import Path

from tritonpm.core.types import Format, Needs
from tritonpm.package.limits import Limits

_LAYER = re.compile(rb'\bversion="opset(\d{1,4})"')
_BLOCK = 1 << 20
_LONGEST = 64  # bytes of what is looked for: it may lie across two blocks


def needs(path: Path, format: Format) -> Needs:
    """Of a model file of that format. Raises PackageError for one that cannot be read."""
    if format is Format.ONNX:
        from tritonpm.package.signature.onnx import needs as of_onnx

        return of_onnx(path, path.name, Limits())
    return Needs(openvino=_newest_layer(path)) if format is Format.OPENVINO else Needs()


def _newest_layer(path: Path) -> int:
    newest, end = 0, b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            newest = max([newest, *map(int, _LAYER.findall(end + block))])
            end = block[-_LONGEST:]
    return newest
