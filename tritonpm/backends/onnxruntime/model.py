"""Triton's `onnxruntime` backend as a Python-based one, for a server without the native: same config and parameters."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from described import Dims, Model, complete
from joined import Arrays, bits, decoded, encoded, execute
from numpy.typing import NDArray
from warmed import WarmUp

DEFAULT_FILE = "model.onnx"
_TYPES = {
    "bool": "TYPE_BOOL", "uint8": "TYPE_UINT8", "uint16": "TYPE_UINT16", "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64", "int8": "TYPE_INT8", "int16": "TYPE_INT16", "int32": "TYPE_INT32", "int64": "TYPE_INT64",
    "float16": "TYPE_FP16", "float": "TYPE_FP32", "double": "TYPE_FP64", "bfloat16": "TYPE_BF16",
    "string": "TYPE_STRING",
}  # fmt: skip
_LEVELS = {-1: "ORT_ENABLE_BASIC", 0: "ORT_ENABLE_ALL", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
_SHRINKAGE = "memory.enable_memory_arena_shrinkage"
_ACCELERATORS = ("openvino",)  # of the native backend on the CPU: a faster way to the same answer
_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill inputs, outputs and batching from the file where the config leaves them open."""
        model = Model.incomplete(auto_complete_model_config)
        if model.inputs and model.outputs:
            return auto_complete_model_config
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = _session(model, options, ["CPUExecutionProvider"])
        inputs, outputs = (
            [(node.name, _dtype(model, node), _dims(node)) for node in nodes]
            for nodes in (session.get_inputs(), session.get_outputs())
        )
        batches = all(dims[:1] == [-1] for _, _, dims in (*inputs, *outputs))
        if not batches and model.max_batch_size:
            model.refuse("the model file takes no batches, so max_batch_size must be 0")
        return complete(auto_complete_model_config, inputs, outputs, batches=batches)

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; refuse a config that contradicts it."""
        self.model = model = Model.served(args)
        self.session = _session(model, _options(model), _providers(model, args))
        inputs, overridable, outputs = (
            {node.name: (_dtype(model, node), _dims(node)) for node in nodes}
            for nodes in (
                self.session.get_inputs(),
                self.session.get_overridable_initializers(),
                self.session.get_outputs(),
            )
        )
        model.check_controls(inputs)
        model.check({**overridable, **inputs}, outputs, optional=overridable, outputs_agree=int.__eq__)
        self.run_options = ort.RunOptions()
        if model.parameter(_SHRINKAGE):
            self.run_options.add_run_config_entry(_SHRINKAGE, model.parameter(_SHRINKAGE))
        types = {tensor["data_type"] for tensor in (*model.inputs.values(), *model.outputs.values())}
        self.bfloat16 = "TYPE_BF16" in types
        if self.bfloat16 and "TYPE_STRING" in types:  # OrtValues, which alone carry BF16, take no text from Python
            model.refuse("BF16 and text in one model are served by the native and the compiled one only")
        self.warm_up = WarmUp(model, self.run)

    def execute(self, requests: Sequence[Any]) -> Any:
        """Answer the requests that Triton hands over together."""
        return self.warm_up.answers(requests) or execute(self.model, requests, self.run)

    def run(self, inputs: Arrays, names: list[str]) -> Arrays:
        """One call of ONNX Runtime."""
        inputs = {n: decoded(array, n) if array.dtype == np.object_ else array for n, array in inputs.items()}
        if self.bfloat16:
            values = {name: self._value(name, array) for name, array in inputs.items()}
            outputs = map(self._numpy, names, self.session.run_with_ort_values(names, values, self.run_options))
        else:
            outputs = map(np.asarray, self.session.run(names, inputs, self.run_options))
        return {n: encoded(a) if a.dtype.kind in "OU" else a for n, a in zip(names, outputs, strict=True)}

    def _value(self, name: str, array: NDArray[Any]) -> ort.OrtValue:
        if self.model.dtype(name) == "TYPE_BF16":
            return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(array), _BFLOAT16)
        return ort.OrtValue.ortvalue_from_numpy(array)

    def _numpy(self, name: str, value: ort.OrtValue) -> NDArray[Any]:
        bfloat16 = self.model.dtype(name) == "TYPE_BF16"
        return np.asarray(bits(value.data_ptr(), value.shape()) if bfloat16 else value.numpy())


def _session(model: Model, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
    path = model.file(DEFAULT_FILE)
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base
        model.refuse(f"ONNX Runtime cannot load {path.name}: {error}")


def _dtype(model: Model, node: ort.NodeArg) -> str:
    name = node.type.removeprefix("tensor(").removesuffix(")")
    if name not in _TYPES:
        model.refuse(f"tensor '{node.name}' is a {node.type}, which Triton has no type for")
    return _TYPES[name]


def _dims(node: ort.NodeArg) -> Dims:
    """The dimensions; ONNX Runtime tells a scalar and an unknown rank alike, and so does the native backend."""
    return [size if isinstance(size, int) and size >= 0 else -1 for size in node.shape]


def _options(model: Model) -> ort.SessionOptions:
    """What the config says of the session: `parameters` and `optimization { graph { level } }`."""
    options = ort.SessionOptions()
    if mode := model.number("execution_mode"):
        if mode > 1:
            model.refuse(f"parameter execution_mode is '{mode}', expected 0 (sequential) or 1 (parallel)")
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.intra_op_num_threads = model.number("intra_op_thread_count") or _threads(model)
    options.inter_op_num_threads = model.number("inter_op_thread_count")
    options.enable_cpu_mem_arena = model.switch("enable_mem_arena", default=True)
    options.enable_mem_pattern = model.switch("enable_mem_pattern", default=True)
    optimization = model.config.get("optimization", {})
    level = optimization.get("graph", {}).get("level", 0)
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS.get(level, _LEVELS[0]))
    for name in model.config.get("parameters", {}):
        if name.startswith("session."):
            options.add_session_config_entry(name, model.parameter(name))
    if model.config.get("model_operations", {}).get("op_library_filename"):
        model.refuse("op_library_filename would run a library's code, which is not done here")
    for accelerator in optimization.get("execution_accelerators", {}).get("cpu_execution_accelerator", ()):
        if accelerator["name"] not in _ACCELERATORS:
            model.refuse(f"there is no execution accelerator '{accelerator['name']}'")
    return options


def _threads(model: Model) -> int:
    """0 leaves it to ONNX Runtime: every core. Several instances are several processes, which share them."""
    cores = len(os.sched_getaffinity(0))
    share = model.share(cores)
    return 0 if share == cores else share


def _providers(model: Model, args: Mapping[str, str]) -> list[Any]:
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    if args["model_instance_kind"] != "GPU":
        return [cpu]
    if cuda not in ort.get_available_providers():
        model.refuse("this Python's onnxruntime has no GPU support; use KIND_CPU, or install onnxruntime-gpu")
    return [(cuda, {"device_id": args["model_instance_device_id"]}), cpu]
