"""Triton's `openvino` backend as a Python-based one: the same name, config and parameters, where the native is absent."""

import os

import numpy as np
import openvino as ov
import triton_python_backend_utils as pb_utils
from joined import Model, complete, decoded, encoded, execute, model_path

DEFAULT_FILE = "model.xml"
_DTYPES = {
    "boolean": "BOOL", "u8": "UINT8", "u16": "UINT16", "u32": "UINT32", "u64": "UINT64",
    "i8": "INT8", "i16": "INT16", "i32": "INT32", "i64": "INT64",
    "f16": "FP16", "f32": "FP32", "f64": "FP64", "bf16": "BF16", "string": "STRING",
}  # fmt: skip
# Parameters of the native backend that are OpenVINO's own properties.
_PROPERTIES = (
    "PERFORMANCE_HINT",
    "NUM_STREAMS",
    "INFERENCE_NUM_THREADS",
    "INFERENCE_PRECISION_HINT",
    "CPU_BIND_THREAD",
)


def _dtype(port):
    name = port.get_element_type().get_type_name()
    if name not in _DTYPES:
        raise pb_utils.TritonModelException(f"tensor '{port.any_name}' is {name}, which Triton has no type for")
    return f"TYPE_{_DTYPES[name]}"


def _dims(port):
    shape = port.get_partial_shape()
    return None if shape.rank.is_dynamic else [d.get_length() if d.is_static else -1 for d in shape]


def _name(port):
    return port.get_any_name() if port.get_names() else port.get_node().get_friendly_name()


def _properties(model):
    """OpenVINO's properties from the config; instances share the cores instead of each taking all of them."""
    found = {name: model.parameter(name) for name in _PROPERTIES if model.parameter(name)}
    found.setdefault("PERFORMANCE_HINT", "LATENCY")
    if "NUM_STREAMS" not in found and "INFERENCE_NUM_THREADS" not in found:
        found["INFERENCE_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // model.instances))
    return found


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
        read = ov.Core().read_model(str(path))
        inputs = [(_name(port), _dtype(port), _dims(port), False) for port in read.inputs]
        outputs = [(_name(port), _dtype(port), _dims(port), False) for port in read.outputs]
        return complete(auto_complete_model_config, inputs, outputs)

    def initialize(self, args):
        """Load the model; refuse a config that contradicts it."""
        self.model = Model.of(args)
        if args["model_instance_kind"] == "GPU":
            raise pb_utils.TritonModelException("the openvino backend runs on KIND_CPU or KIND_AUTO only")
        if self.model.parameter("CPU_EXTENSION_PATH"):
            raise pb_utils.TritonModelException("CPU_EXTENSION_PATH would load code; it is not supported here")
        core = ov.Core()
        read = core.read_model(str(self.model.file(DEFAULT_FILE)))
        for kind, ports in (("input", read.inputs), ("output", read.outputs)):
            self.model.check(
                kind, {name: (_dtype(p), _dims(p)) for p in ports for name in (p.get_names() or {_name(p)})}
            )
        self._layouts(read)
        device = self.model.parameter("TARGET_DEVICE", "CPU")
        self.compiled = core.compile_model(read, device, _properties(self.model))
        self.request = self.compiled.create_infer_request()
        self.ports = {name: port for port in self.compiled.outputs for name in (port.get_names() or {_name(port)})}
        self.inputs = {name: port for port in self.compiled.inputs for name in (port.get_names() or {_name(port)})}
        self.padding = self.model.parameter("ENABLE_BATCH_PADDING") == "YES"

    def _layouts(self, read):
        """RESHAPE_IO_LAYERS: take the config's dims for dimensions that the file leaves dynamic."""
        if self.model.parameter("RESHAPE_IO_LAYERS") != "YES":
            return
        first = [self.model.max_batch_size] if self.model.max_batch_size > 0 else []
        read.reshape({name: [*first, *map(int, tensor["dims"])] for name, tensor in self.model.inputs.items()})

    def execute(self, requests):
        """Answer the requests that Triton hands over together."""
        return execute(self.model, requests, self.run)

    def run(self, inputs, names):
        """One call of OpenVINO, on the request's own memory."""
        for name, array in inputs.items():
            self.request.set_tensor(self.inputs[name], self._tensor(name, array))
        self.request.infer()
        return {name: self._array(name) for name in names}

    def _tensor(self, name, array):
        if array.dtype == np.object_:
            return ov.Tensor(np.array(decoded(array).tolist(), dtype=np.str_).reshape(array.shape))
        return ov.Tensor(np.ascontiguousarray(array), shared_memory=True)

    def _array(self, name):
        tensor = self.request.get_tensor(self.ports[name])
        if tensor.element_type == ov.Type.string:
            return encoded(np.asarray(tensor.str_data))
        return tensor.data  # Triton copies it into the response before the next request runs
