"""What the runtimes say of a model before it is served, asked in a process of its own (`core/apart.py`).

The native backend compares a config's outputs with what onnxruntime infers, not with what the file says, and exactly: a
-1 where onnxruntime knows the size is refused (`CompareDimsSupported` of triton's onnxruntime_backend).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path

from tritonpm.convert import runtimes
from tritonpm.convert.narrowed import narrowed
from tritonpm.convert.openvino_ir import plain
from tritonpm.convert.running import NotRunnableError
from tritonpm.core.apart import Apart, Report
from tritonpm.core.sandbox import EndedError
from tritonpm.core.scratch import temporary
from tritonpm.core.types import Format, Signature, Tensor, Values
from tritonpm.core.units import GIB

_SECONDS, _MEMORY = 60.0, 4 * GIB  # for one model
_OUTPUTS, _READS, _ALTERS = (
    f"tritonpm.convert.describing:{name}" for name in ("outputs_of", "openvino_says", "openvino_alters")
)
Outputs = Mapping[str, list[int | str]]  # name → shape


def described(models: Iterable[Path]) -> dict[Path, Outputs]:
    """The outputs of each ONNX model that onnxruntime loads within the limits; one that it does not costs itself."""
    outputs: dict[Path, Outputs] = {}
    with Apart() as apart, temporary("describe") as folder:
        for model in models:
            with suppress(EndedError):
                raw = apart.ask(_OUTPUTS, str(model).encode(), folder, seconds=_SECONDS, memory=_MEMORY)
                if shapes := json.loads(raw):
                    outputs[model] = shapes
    return outputs


def refused_by_openvino(model: Path, apart: Apart | None = None) -> str:
    """Why OpenVINO cannot read an ONNX model ("": it can, or is not installed here); `apart` is a process to ask.

    The native openvino backend of 25.03 and before ends the whole server over such a model.
    """
    with nullcontext(apart) if apart else Apart() as process, temporary("describe") as folder:
        try:
            return process.ask(_READS, str(model).encode(), folder, seconds=_SECONDS, memory=_MEMORY).decode()
        except EndedError as error:
            return f"reading it {error}"


def altered_by_openvino(model: Path, said: Mapping[str, Values], apart: Apart) -> str:
    """Why OpenVINO answers otherwise than an ONNX model; "": the graph gives no reason. `said` is of its inputs."""
    request = json.dumps({"model": str(model), "values": {name: asdict(values) for name, values in said.items()}})
    with temporary("describe") as folder, suppress(EndedError):
        return apart.ask(_ALTERS, request.encode(), folder, seconds=_SECONDS, memory=_MEMORY).decode()
    return ""


def openvino_alters(request: bytes, folder: Path, report: Report) -> bytes:
    """What OpenVINO computes otherwise of one model."""
    asked = json.loads(request)
    said = {name: Values(**values) for name, values in asked["values"].items()}
    return narrowed(Format.ONNX, Path(asked["model"]), said).encode()


def openvino_says(request: bytes, folder: Path, report: Report) -> bytes:
    """Why OpenVINO does not read one model."""
    try:
        import openvino
    except ImportError:
        return b""
    try:
        openvino.Core().read_model(request.decode())
    except Exception as error:  # each of its frontends has exceptions of its own
        return plain(error).encode()
    return b""


def outputs_of(request: bytes, folder: Path, report: Report) -> bytes:
    """The outputs of one model; none where onnxruntime does not load it, which the proof says."""
    try:
        return json.dumps(runtimes.output_shapes(Path(request.decode()))).encode()
    except NotRunnableError:
        return b"{}"


def exact(signature: Signature, outputs: Outputs) -> Signature:
    """The signature with its outputs' shapes as onnxruntime infers them; the file's names of dimensions stay."""

    def tensor(told: Tensor) -> Tensor:
        actual, declared = outputs.get(told.name) or (), told.shape
        if declared is None:
            return replace(told, shape=tuple(actual)) if actual else told  # it tells a scalar and no rank alike
        if len(actual) != len(declared):
            return told
        return replace(told, shape=tuple(f if isinstance(f, int) else t for f, t in zip(actual, declared, strict=True)))

    return replace(signature, outputs=tuple(map(tensor, signature.outputs)))
