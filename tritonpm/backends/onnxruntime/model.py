"""Triton's `onnxruntime` backend as a Python-based one: the same name, config and parameters, where the native is absent."""

import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from joined import Model, complete, decoded, encoded, execute, model_path

DEFAULT_FILE = "model.onnx"
_DTYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "float": "FP32", "double": "FP64", "bfloat16": "BF16", "string": "STRING",
}  # fmt: skip


def _dtype(node):
    name = node.type.removeprefix("tensor(").removesuffix(")")
    if name not in _DTYPES:
        raise pb_utils.TritonModelException(f"tensor '{node.name}' is a {node.type}, which Triton has no type for")
    return f"TYPE_{_DTYPES[name]}"


def _dims(node):
    return [d if isinstance(d, int) and d >= 0 else -1 for d in node.shape]


def _options(model):
    """Session options from the config: the native backend's parameters and `optimization { graph { level } }`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    cores = len(os.sched_getaffinity(0))
    # Instances share the cores instead of each taking all of them.
    options.intra_op_num_threads = int(model.parameter("intra_op_thread_count", "0")) or max(
        1, cores // model.instances
    )
    options.inter_op_num_threads = int(model.parameter("inter_op_thread_count", "0"))
    if model.parameter("execution_mode") == "1":
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    for name in ("enable_mem_arena", "enable_mem_pattern"):
        if model.parameter(name) == "0":
            setattr(options, name.replace("mem_arena", "cpu_mem_arena"), False)
    level = model.config.get("optimization", {}).get("graph", {}).get("level", 0)
    if level:
        kinds = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = kinds.ORT_ENABLE_BASIC if level < 0 else kinds.ORT_ENABLE_EXTENDED
    for name in model.config.get("parameters", {}):
        if name.startswith("session."):
            options.add_session_config_entry(name, model.parameter(name))
    return options


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        """Fill inputs, outputs and batching from the file where the config leaves them open."""
        given = auto_complete_model_config.as_dict()
        if given["input"] and given["output"]:
            return auto_complete_model_config
        path = model_path()
        if not path.is_file():
            raise pb_utils.TritonModelException(f"model file {path} does not exist")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        inputs = [(node.name, _dtype(node), _dims(node), False) for node in session.get_inputs()]
        outputs = [(node.name, _dtype(node), _dims(node), False) for node in session.get_outputs()]
        return complete(auto_complete_model_config, inputs, outputs)

    def initialize(self, args):
        """Load the model; refuse a config that contradicts it."""
        self.model = Model.of(args)
        if (
            args["model_instance_kind"] == "GPU"
            and "CUDAExecutionProvider" not in onnxruntime.get_available_providers()
        ):
            raise pb_utils.TritonModelException("this server's onnxruntime has no GPU support; use KIND_CPU")
        providers = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"]}))
        path = self.model.file(DEFAULT_FILE)
        self.session = onnxruntime.InferenceSession(str(path), _options(self.model), providers=providers)
        inputs = {node.name: node for node in self.session.get_inputs()}
        optional = {node.name: node for node in self.session.get_overridable_initializers()}
        outputs = {node.name: node for node in self.session.get_outputs()}
        # ONNX Runtime writes a scalar and an unknown rank alike, so an empty shape proves nothing.
        for kind, nodes in (("input", {**optional, **inputs}), ("output", outputs)):
            self.model.check(kind, {name: (_dtype(node), _dims(node) or None) for name, node in nodes.items()})
        missing = [name for name in inputs if name not in self.model.inputs]
        if missing:
            raise pb_utils.TritonModelException(f"the config does not name the model's input '{missing[0]}'")
        self.scalars = {n.name for n in (*inputs.values(), *outputs.values()) if self._is_scalar(n)}

    def _is_scalar(self, node):
        return node.name in {**self.model.inputs, **self.model.outputs} and self.model.is_scalar(node.name, _dims(node))

    def execute(self, requests):
        """Answer the requests that Triton hands over together."""
        return execute(self.model, requests, self.run)

    def run(self, inputs, names):
        """One call of ONNX Runtime."""
        for name, array in inputs.items():
            if array.dtype == np.object_:
                inputs[name] = decoded(array)
            if name in self.scalars:
                inputs[name] = inputs[name].reshape(())
        answers = self.session.run(names, inputs)
        outputs = {n: encoded(a) if a.dtype.kind in "OU" else a for n, a in zip(names, map(np.asarray, answers))}
        return {n: a.reshape(1) if n in self.scalars else a for n, a in outputs.items()}
