"""What a model file asks of the runtime that loads it: the version of its format, and of its operators."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tritonpm.core.types import Format
from tritonpm.package.limits import Limits

_LAYER = re.compile(rb'\bversion="opset(\d{1,4})"')
_BLOCK = 1 << 20
_LONGEST = 64  # bytes of what is looked for: it may lie across two blocks


@dataclass(frozen=True)
class Needs:
    """Of an ONNX model its IR and the opsets of ai.onnx and ai.onnx.ml, of OpenVINO's its layers' newest; 0: none."""

    ir: int = 0
    opset: int = 0
    ml: int = 0
    openvino: int = 0


def needs(path: Path, format: Format) -> Needs:
    """Of a model file of that format. Raises PackageError for one that cannot be read."""
    if format is Format.ONNX:
        from tritonpm.package.signature.onnx import versions

        return Needs(*versions(path, path.name, Limits()))
    return Needs(openvino=_newest_layer(path)) if format is Format.OPENVINO else Needs()


def _newest_layer(path: Path) -> int:
    newest, end = 0, b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            newest = max([newest, *map(int, _LAYER.findall(end + block))])
            end = block[-_LONGEST:]
    return newest
