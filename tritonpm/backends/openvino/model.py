"""Triton's `openvino` backend as a Python-based one, for a server without the native: same config and parameters."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
from described import Dims, Model, complete
from devices import properties_for
from joined import Arrays, Streams, execute
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor
from warmed import WarmUp

DEFAULT_FILE = "model.xml"
_TYPES = {
    "boolean": "TYPE_BOOL", "u8": "TYPE_UINT8", "u16": "TYPE_UINT16", "u32": "TYPE_UINT32", "u64": "TYPE_UINT64",
    "i8": "TYPE_INT8", "i16": "TYPE_INT16", "i32": "TYPE_INT32", "i64": "TYPE_INT64",
    "f16": "TYPE_FP16", "f32": "TYPE_FP32", "f64": "TYPE_FP64", "bf16": "TYPE_BF16", "string": "TYPE_STRING",
}  # fmt: skip
_ELEMENTS = {dtype: getattr(ov.Type, name) for name, dtype in _TYPES.items()}


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill inputs, outputs and batching from the file where the config leaves them open."""
        model = Model.incomplete(auto_complete_model_config)
        read = _read(ov.Core(), model)
        inputs, outputs = (
            [(_names(port)[0], _dtype(model, port), _dims(port)) for port in ports]
            for ports in (read.inputs, read.outputs)
        )
        batches = all(ov.layout_helpers.has_batch(port.node.layout) for port in (*read.inputs, *read.outputs))
        return complete(auto_complete_model_config, inputs, outputs, batches=batches)

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; refuse a config that contradicts it."""
        self.model = model = Model.served(args)
        if (kind := args["model_instance_kind"]) in ("GPU", "MODEL"):
            model.refuse(
                f"the openvino backend has no KIND_{kind}; use KIND_CPU, or KIND_AUTO with parameter TARGET_DEVICE"
            )
        if model.parameter("CPU_EXTENSION_PATH"):
            model.refuse("parameter CPU_EXTENSION_PATH would run a library's code, which is not done here")
        core = ov.Core()
        read = _read(core, model)
        _convert(model, read)
        _reshape(model, read)
        model.check(
            _described(model, read.inputs, model.inputs),
            _described(model, read.outputs, model.outputs),
            outputs_agree=lambda file, configured: file in (-1, configured),
        )
        self.compiled = _compile(core, model, read)
        self.inputs, self.outputs = (
            {name: port for port in ports for name in _names(port)}
            for ports in (self.compiled.inputs, self.compiled.outputs)
        )
        self.threads = threading.local()
        streams = self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self.streams = Streams(streams) if streams > 1 else None
        self.warm_up = WarmUp(model, self.run)
        self.warm_up.repeat(self.streams)

    def execute(self, requests: Sequence[Any]) -> Any:
        """Answer the requests that Triton hands over together."""
        if answers := self.warm_up.answers(requests):
            return answers
        if self.streams:
            return self.streams.execute(self.model, requests, self.run)
        return execute(self.model, requests, self.run)

    def finalize(self) -> None:
        """Wait for what is under way."""
        if self.streams:
            self.streams.close()

    def run(self, inputs: Arrays, names: list[str]) -> Arrays:
        """One call of OpenVINO on this thread's infer request: on the arrays' own memory, answered in the request's."""
        if not hasattr(self.threads, "request"):
            self.threads.request = self.compiled.create_infer_request()
        request = self.threads.request
        self.threads.inputs = inputs  # a model that hands an input through answers in the input's memory
        for name, array in inputs.items():
            request.set_tensor(self.inputs[name], _tensor(array, self.model.dtype(name)))
        try:
            request.infer(share_outputs=True, decode_strings=False)
        except RuntimeError as error:
            raise ValueError(_plain(error)) from None
        return {name: _array(request.get_tensor(self.outputs[name])) for name in names}


def _read(core: ov.Core, model: Model) -> ov.Model:
    path = model.file(DEFAULT_FILE)
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        model.refuse(f"OpenVINO cannot read {path.name}: {_plain(error)}")


def _plain(error: RuntimeError) -> str:
    """OpenVINO's message without the places in its source that it starts with."""
    return " ".join(re.sub(r"(Exception from|Check .* failed at) \S+:\d+:", "", str(error)).split())


def _names(port: Any) -> list[str]:
    return sorted(port.get_names()) or [port.get_node().get_friendly_name()]


def _dtype(model: Model, port: Any) -> str:
    name = port.get_element_type().get_type_name()
    if name not in _TYPES:
        model.refuse(f"tensor '{_names(port)[0]}' is {name}, which Triton has no type for")
    return _TYPES[name]


def _dims(port: Any) -> Dims | None:
    shape = port.get_partial_shape()
    return None if shape.rank.is_dynamic else [size.get_length() if size.is_static else -1 for size in shape]


def _described(model: Model, ports: Sequence[Any], tensors: Mapping[str, Any]) -> dict[str, tuple[str, Dims | None]]:
    """Every tensor under the name that the config uses, where it uses one of its names."""
    names = [next((name for name in _names(port) if name in tensors), _names(port)[0]) for port in ports]
    return {name: (_dtype(model, port), _dims(port)) for name, port in zip(names, ports, strict=True)}


def _convert(model: Model, read: ov.Model) -> None:
    """Have OpenVINO convert where the config says another numeric type than the file, as the native backend does."""
    steps = PrePostProcessor(read)
    for ports, tensors, side in (
        (read.inputs, model.inputs, steps.input),
        (read.outputs, model.outputs, steps.output),
    ):
        for index, port in enumerate(ports):
            wanted = next((tensors[name]["data_type"] for name in _names(port) if name in tensors), "TYPE_STRING")
            if "TYPE_STRING" not in (wanted, _dtype(model, port)) and wanted in _ELEMENTS:
                side(index).tensor().set_element_type(_ELEMENTS[wanted])
    steps.build()


def _reshape(model: Model, read: ov.Model) -> None:
    """RESHAPE_IO_LAYERS takes the config's dims; max_batch_size makes a fixed first dimension a batch axis."""
    batched = model.max_batch_size > 0
    if model.switch("RESHAPE_IO_LAYERS", default=False):
        shapes = {
            port: ov.PartialShape([*(_dims(port) or [-1])[:batched], *model.said(name)])
            for port in read.inputs
            for name in _names(port)
            if name in model.inputs
        }
        _rewrite(model, lambda: read.reshape(shapes), "OpenVINO cannot give the model the config's dims")
    if batched and any(dims and dims[0] != -1 for dims in map(_dims, read.inputs)):
        for port in read.inputs:
            port.node.layout = ov.Layout("N...")
        _rewrite(
            model,
            lambda: ov.set_batch(read, -1),
            "OpenVINO cannot give the model a batch axis, set max_batch_size to 0",
        )


def _rewrite(model: Model, change: Callable[[], object], failure: str) -> None:
    try:
        change()
    except RuntimeError as error:
        model.refuse(f"{failure}: {_plain(error)}")


def _compile(core: ov.Core, model: Model, read: ov.Model) -> ov.CompiledModel:
    device = model.parameter("TARGET_DEVICE").upper() or "CPU"
    try:
        return core.compile_model(read, device, properties_for(device, _properties(model)))
    except RuntimeError as error:
        model.refuse(f"OpenVINO cannot compile the model for {device}: {_plain(error)}")


def _properties(model: Model) -> dict[str, Any]:
    """OpenVINO's properties on the CPU. Instances are processes here, so each gets its share of the cores."""
    cores = len(os.sched_getaffinity(0))
    threads = model.share(model.number("INFERENCE_NUM_THREADS") or cores)
    properties: dict[str, Any] = {
        "PERFORMANCE_HINT": model.parameter("PERFORMANCE_HINT").upper() or "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        # OpenVINO's own default is bf16 where the CPU has it: twice as fast, and off by up to a few per cent.
        "INFERENCE_PRECISION_HINT": model.parameter("INFERENCE_PRECISION_HINT") or "f32",
    }
    if threads < cores:  # pinned, the threads of every process would sit on the same first cores
        properties["ENABLE_CPU_PINNING"] = False
    if streams := model.parameter("NUM_STREAMS").upper():
        properties["NUM_STREAMS"] = str(model.share(int(streams))) if streams.isdecimal() else streams
    if model.switch("HINT_BF16", default=False):
        properties["INFERENCE_PRECISION_HINT"] = "bf16"
    return properties


def _tensor(array: NDArray[Any], dtype: str) -> ov.Tensor:
    if dtype == "TYPE_STRING":
        return ov.Tensor(array.astype(np.bytes_))
    if dtype == "TYPE_BF16":
        return ov.Tensor(array, array.shape, ov.Type.bf16)
    return ov.Tensor(array, shared_memory=True)


def _array(tensor: ov.Tensor) -> NDArray[Any]:
    if tensor.element_type == ov.Type.string:
        return np.asarray(tensor.bytes_data.astype(np.object_))
    if tensor.element_type == ov.Type.bf16:
        return np.asarray(tensor.data.view(np.uint16))
    return np.asarray(tensor.data)
