"""Where a model's time goes, layer by layer: the runtimes' own counters, over a few runs on one input.

Source: OpenVINO's performance counters, ONNX Runtime's profiling, TensorRT's engine inspector and profiler.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tritonpm.convert import runtimes
from tritonpm.convert.layer import Layer
from tritonpm.convert.running import NotRunnableError
from tritonpm.core.extras import to_install
from tritonpm.core.tensors import Array
from tritonpm.core.types import Format

_WARM_UP, _RUNS = 3, 20
_NO_LAYERS = ("Parameter", "Result", "Constant")
_ORT_PREFIX = "tritonpm-profile"


def layers(format: Format, model: Path, inputs: Mapping[str, Array], folder: Path) -> list[Layer]:
    """The layers, slowest first; `folder` is for the runtime's own files. Raises NotRunnableError."""
    try:
        if format is Format.ONNX:
            layers = _onnxruntime(model, inputs, folder)
        elif format is Format.OPENVINO:
            layers = _openvino(model, inputs)
        elif format is Format.TENSORRT:
            layers = _tensorrt(model, inputs)
        else:
            raise NotRunnableError(f"there is no profiler for {format.value} here")
    except ImportError as error:
        name = error.name or str(error)
        raise NotRunnableError(f"{name} is not installed; {to_install(name)}") from None
    return sorted(layers, key=lambda layer: -(layer.micros or 0.0))


def _openvino(model: Path, inputs: Mapping[str, Array]) -> list[Layer]:
    compiled = runtimes.compile_openvino(str(model), PERF_COUNT=True, PERFORMANCE_HINT="LATENCY")
    request = compiled.create_infer_request()
    for _ in range(_WARM_UP):
        request.infer(dict(inputs))
    total: dict[str, float] = {}
    for _ in range(_RUNS):
        request.infer(dict(inputs))
        for info in request.profiling_info:
            total[info.node_name] = total.get(info.node_name, 0.0) + info.real_time.total_seconds() * 1e6
    return [
        Layer(info.node_name, info.node_type, *_kernel(info.exec_type), total[info.node_name] / _RUNS)
        for info in request.profiling_info
        if info.node_type not in _NO_LAYERS  # its status says NOT_RUN also of what took less than a microsecond
    ]


def _kernel(exec_type: str) -> tuple[str, str]:
    """OpenVINO names a kernel and its precision in one: `brgconv_avx512_I8` is brgconv_avx512 in I8."""
    kernel, _, precision = exec_type.rpartition("_")
    return (kernel, precision) if kernel else (precision, "")


def _onnxruntime(model: Path, inputs: Mapping[str, Array], folder: Path) -> list[Layer]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / _ORT_PREFIX)
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    for _ in range(_RUNS):
        session.run(None, dict(inputs))
    events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
    nodes = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    total: dict[str, float] = {}
    for event in nodes:
        total[event["name"]] = total.get(event["name"], 0.0) + float(event["dur"])
    known = {event["name"]: event["args"] for event in nodes}
    return [
        Layer(
            name.removesuffix("_kernel_time"),
            args.get("op_name", ""),
            args.get("provider", "").removesuffix("ExecutionProvider"),
            _ort_precision(args),
            total[name] / _RUNS,
        )
        for name, args in known.items()
    ]


def _ort_precision(args: Mapping[str, Any]) -> str:
    """The element type of a node's first output, in OpenVINO's and TensorRT's spelling: float → FP32, int8 → I8."""
    shapes = args.get("output_type_shape") or [{}]
    kind = next(iter(shapes[0]), "")
    return {"float": "FP32", "float16": "FP16", "int8": "I8", "uint8": "U8", "int64": "I64"}.get(kind, kind)


def _tensorrt(model: Path, inputs: Mapping[str, Array]) -> list[Layer]:
    from tritonpm.convert import tensorrt, tensorrt_layers

    return tensorrt_layers.profile(model, inputs, tensorrt.toolkit().module)
