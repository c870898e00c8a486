"""The table of converters: one module each, imported when it is used. To add one, add a module and a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from tritonpm.convert.conversion import Converter, version
from tritonpm.core.types import Format


@dataclass(frozen=True)
class KnownConverter:
    """A converter: its module in this room, and from which formats to which it goes."""

    module: str
    takes: tuple[Format, ...]
    makes: Format
    needs_samples: bool = False
    needs: tuple[str, ...] = ()  # distributions


_READ_BY_OPENVINO = (
    Format.ONNX, Format.OPENVINO, Format.SAVED_MODEL, Format.KERAS, Format.TFLITE, Format.PADDLE,
    Format.TORCH_EXPORT, Format.TORCHSCRIPT,
)  # fmt: skip

CONVERTERS: Mapping[str, KnownConverter] = {
    "openvino": KnownConverter("openvino_ir", _READ_BY_OPENVINO, Format.OPENVINO, needs=("openvino",)),
    "openvino-int8": KnownConverter(
        "openvino_int8", (Format.OPENVINO, Format.ONNX), Format.OPENVINO, needs_samples=True, needs=("openvino", "nncf")
    ),
    "onnx-fp16": KnownConverter("onnx_fp16", (Format.ONNX,), Format.ONNX),
    "onnx-int8": KnownConverter("onnx_int8", (Format.ONNX,), Format.ONNX, needs_samples=True),
    "tensorrt": KnownConverter("tensorrt", (Format.ONNX,), Format.TENSORRT),
}


def converter(name: str) -> Converter:
    """The converter of that name. Raises KeyError."""
    return cast(Converter, import_module(f"tritonpm.convert.{CONVERTERS[name].module}").convert)


def require_installed(names: Iterable[str]) -> None:
    """Raise MissingToolError for the first distribution that these converters need and that is not here."""
    for name in names:
        for distribution in CONVERTERS[name].needs:
            version(distribution)
