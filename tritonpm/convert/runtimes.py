"""A model file as a function from arrays to arrays, on the CPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.convert.running import NotRunnableError, Run, RunFailedError, StatefulError
from tritonpm.core.extras import to_install
from tritonpm.core.tensors import Array
from tritonpm.core.types import Format


def load(format: Format, path: Path, *, longest: float | None = None) -> Run:
    """The model as a function, which raises RunFailedError: onnxruntime's after `longest` seconds, too.

    Raises NotRunnableError, StatefulError.
    """
    if format not in _LOADERS:
        raise NotRunnableError(f"there is no runtime for {format.value} here to run it with")
    runtime, loader = _LOADERS[format]
    try:
        model = _onnxruntime(path, longest) if format is Format.ONNX else loader(path)
    except ImportError as error:
        missing = error.name or runtime
        raise NotRunnableError(f"{missing} is not installed, so it was not run ({to_install(missing)})") from None
    except (StatefulError, NotRunnableError):
        raise
    except Exception as error:  # the runtimes' own exceptions share no base
        raise NotRunnableError(f"{runtime} does not load it ({_sentence(error)})") from None

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return model(inputs)
        except Exception as error:
            raise RunFailedError(_sentence(error)) from None

    return run


def output_shapes(path: Path) -> dict[str, list[int | str]]:
    """The outputs' shapes as onnxruntime infers them; [] where it does not know the rank, or there is a scalar.

    Raises NotRunnableError.
    """
    try:
        session = _session(path)
    except ImportError:
        raise NotRunnableError(f"onnxruntime is not installed ({to_install('onnxruntime')})") from None
    except Exception as error:
        raise NotRunnableError(f"onnxruntime does not load it ({_sentence(error)})") from None
    return {node.name: [d if isinstance(d, (int, str)) else "?" for d in node.shape] for node in session.get_outputs()}


def _sentence(error: Exception) -> str:
    """The first line of what a runtime says, cut to a readable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines and lines[0].startswith("Exception from") else (lines or [type(error).__name__])[0])[
        :200
    ]


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a small model's threads wait, mostly
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _onnxruntime(path: Path, longest: float | None = None) -> Run:
    import onnxruntime

    session = _session(path)
    names = [node.name for node in session.get_outputs()]
    types = {node.type for node in (*session.get_inputs(), *session.get_outputs())}
    ask = _ask_in_bfloat16 if "tensor(bfloat16)" in types else _ask

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        watch = threading.Timer(longest, setattr, (options, "terminate", True)) if longest else None
        if watch:
            watch.daemon = True
            watch.start()
        try:
            answers = ask(session, names, inputs, options)
        finally:
            if watch:
                watch.cancel()
        return {name: np.asarray(answer) for name, answer in zip(names, answers, strict=True)}

    return run


def _ask(session: Any, names: list[str], inputs: Mapping[str, Array], options: Any) -> list[Any]:
    answers: list[Any] = session.run(names, {name: as_text(array) for name, array in inputs.items()}, options)
    return answers


def _ask_in_bfloat16(session: Any, names: list[str], inputs: Mapping[str, Array], options: Any) -> list[Any]:
    """The same by ONNX Runtime's own values, which alone carry bfloat16, and no text, from and to Python."""
    import ctypes

    from ml_dtypes import bfloat16
    from onnx import TensorProto
    from onnxruntime import OrtValue

    def value(array: Array) -> Any:
        if array.dtype != bfloat16:
            return OrtValue.ortvalue_from_numpy(array)
        return OrtValue.ortvalue_from_numpy_with_onnx_type(np.asarray(array, order="C"), TensorProto.BFLOAT16)

    def array(value: Any) -> Array:
        if value.element_type() != TensorProto.BFLOAT16:
            return np.asarray(value.numpy())
        count = int(np.prod(value.shape()))
        held = (ctypes.c_uint16 * count).from_address(value.data_ptr())
        return np.asarray(np.array(held, dtype=np.uint16).view(bfloat16).reshape(value.shape()))

    values = session.run_with_ort_values(names, {name: value(array) for name, array in inputs.items()}, options)
    return [array(value) for value in values]


def compile_openvino(model: Any, **more: object) -> Any:
    """An OpenVINO model, or the path of one, compiled for this CPU; `more` are further properties.

    At full precision: some CPUs would compute in bf16, and answers would differ by more than what is looked for.
    """
    import openvino

    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **more})


def _openvino(path: Path) -> Run:
    import openvino

    model = openvino.Core().read_model(str(path))
    if model.get_sinks():
        raise StatefulError("it keeps state between requests")
    compiled = compile_openvino(model)
    names = [output.get_any_name() for output in compiled.outputs]

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        answers = compiled(dict(inputs), share_inputs=False)
        return {name: np.array(answers[index]) for index, name in enumerate(names)}

    return run


def _torch(path: Path) -> Run:
    """A PyTorch export (.pt2); its inputs in order, since it may name them otherwise than the IR does."""
    import torch

    program = torch.export.load(str(path))
    module = program.module()

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            answer = module(*(torch.from_numpy(np.array(array)) for array in inputs.values()))
        listed = answer if isinstance(answer, (tuple, list)) else [answer]
        names = list(program.graph_signature.user_outputs)
        return {str(name): tensor.numpy() for name, tensor in zip(names, listed, strict=True)}

    return run


def script_inputs(module: Any) -> list[str]:
    """The arguments of a TorchScript's forward, which are what PyTorch calls its inputs."""
    return [argument.name for argument in module.forward.schema.arguments[1:]]


def script_outputs(count: int) -> list[str]:
    """What Triton's PyTorch backend calls the outputs of a TorchScript, which have no names of their own."""
    return [f"OUTPUT__{index}" for index in range(count)]


def _torch_script(path: Path) -> Run:
    import torch

    module = torch.jit.load(str(path), map_location="cpu").eval()

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            answer = module(*(torch.from_numpy(np.array(array)) for array in inputs.values()))
        listed = answer if isinstance(answer, (tuple, list)) else [answer]
        return dict(zip(script_outputs(len(listed)), (tensor.numpy() for tensor in listed), strict=True))

    return run


def _tflite(path: Path) -> Run:
    """LiteRT's interpreter. Its inputs are named as OpenVINO names them, and their sizes are those of each request."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    sides = interpreter.get_input_details(), interpreter.get_output_details()
    into, out_of = ({detail["name"]: detail["index"] for detail in side} for side in sides)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, array in inputs.items():
            interpreter.resize_tensor_input(into[name], array.shape)
        interpreter.allocate_tensors()
        for name, array in inputs.items():
            interpreter.set_tensor(into[name], array)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in out_of.items()}

    return run


def _saved_model(path: Path) -> Run:
    """TensorFlow's own: the signature that servers call."""
    import tensorflow

    model = tensorflow.saved_model.load(str(path))
    function = model.signatures["serving_default"]

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        answers = function(**{name: tensorflow.constant(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in answers.items()}

    return run


def _paddle(path: Path) -> Run:
    from paddle import inference

    config = inference.Config(str(path), str(path.with_suffix(".pdiparams")))
    config.disable_gpu()
    config.disable_glog_info()
    predictor = inference.create_predictor(config)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, array in inputs.items():
            handle = predictor.get_input_handle(name)
            handle.reshape(array.shape)
            handle.copy_from_cpu(np.ascontiguousarray(array))
        predictor.run()
        return {name: predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()}

    return run


def load_keras(path: Path) -> Any:
    """A Keras 3 model on PyTorch; `safe_mode`: nothing in the file is run."""
    os.environ["KERAS_BACKEND"] = "torch"  # read once, when keras is imported: a worker imports it for nothing else
    import keras

    model = keras.saving.load_model(str(path), compile=False, safe_mode=True)
    model.eval()
    return model


def output_names(model: Any) -> list[str]:
    """A Keras model's outputs by the layers that make them, which is how Keras itself names them."""
    return [str(tensor._keras_history.operation.name) for tensor in model.outputs]


def _keras(path: Path) -> Run:
    model = load_keras(path)
    names = output_names(model)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        arrays = list(inputs.values())
        answer = model(arrays if len(arrays) > 1 else arrays[0])
        listed = answer if isinstance(answer, (tuple, list)) else [answer]
        return {name: tensor.detach().numpy() for name, tensor in zip(names, listed, strict=True)}

    return run


def _tensorrt(path: Path) -> Run:
    from tritonpm.convert.tensorrt_layers import run

    return run(path)


_LOADERS: Mapping[Format, tuple[str, Callable[[Path], Run]]] = {
    Format.ONNX: ("onnxruntime", _onnxruntime),
    Format.OPENVINO: ("openvino", _openvino),
    Format.TENSORRT: ("tensorrt", _tensorrt),
    Format.TORCH_EXPORT: ("torch", _torch),
    Format.KERAS: ("keras", _keras),
    Format.TORCHSCRIPT: ("torch", _torch_script),
    Format.TFLITE: ("ai_edge_litert", _tflite),
    Format.SAVED_MODEL: ("tensorflow", _saved_model),
    Format.PADDLE: ("paddle", _paddle),
}
# Whose operators may read and write files.
ACTING = (Format.TORCH_EXPORT, Format.TORCHSCRIPT, Format.SAVED_MODEL, Format.PADDLE)


def as_text(array: Array) -> Array:
    """Objects of bytes as the text that onnxruntime takes."""
    if array.dtype != np.object_:
        return array
    text = [value.decode() if isinstance(value, bytes) else str(value) for value in array.ravel()]
    return np.array(text, dtype=np.object_).reshape(array.shape)
