"""What both ONNX converters need: a graph that today's tools take, written back whole, and loaded once as the proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tritonpm.convert import runtimes
from tritonpm.convert.conversion import Artefact, ConversionError
from tritonpm.convert.running import NotRunnableError
from tritonpm.core.types import Format
from tritonpm.core.units import GIB

OPSET = 17  # that older graphs are brought to: QuantizeLinear per channel begins with 13
_INLINE = GIB  # bytes of weights that stay in the file; protobuf ends at twice as much
MODEL = "model.onnx"


def modern(artefact: Artefact) -> Any:
    """The model with its weights, no weight among its inputs, at an opset of today. Raises ConversionError."""
    import onnx

    model = onnx.load(artefact.model)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 8)
    own = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    if own >= 13:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter is C++ and raises what it likes
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(
            f"its opset {own} cannot be brought to {OPSET} ({reason})", where=artefact.model.name, do="export it again"
        ) from None


def write(model: Any, folder: Path) -> Path:
    """MODEL in `folder`, large weights beside it."""
    import onnx

    path = folder / MODEL
    if model.ByteSize() < _INLINE:
        onnx.save(model, path)
    else:
        onnx.save(model, path, save_as_external_data=True, location=f"{MODEL}.data")
    return path


def require_loadable(path: Path, where: str) -> None:
    """ONNX Runtime takes the result. Raises ConversionError."""
    try:
        runtimes.load(Format.ONNX, path)
    except NotRunnableError as error:
        raise ConversionError(f"what it was converted to cannot be loaded: {error}", where=where) from None
