"""The models of overhead.py: each with its config, what is sent, and two twins that answer at once."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.serving import resnet50
from tritonpm.triton import compiled

_FLOOR = '''"""Answers at once with zeros, or with empty texts."""
import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.outputs = [
            (tensor["name"], pb_utils.triton_string_to_numpy(tensor["data_type"]), [int(d) for d in tensor["dims"]])
            for tensor in json.loads(args["model_config"])["output"]
        ]

    def execute(self, requests):
        return [self.answer(len(request.inputs()[0].as_numpy())) for request in requests]

    def answer(self, rows):
        arrays = {name: np.full((rows, *dims), b"", dtype) if dtype == np.object_ else np.zeros((rows, *dims), dtype)
                  for name, dtype, dims in self.outputs}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in arrays.items()])
'''
FLOOR, LIMIT = "floor_", "limit_"  # before the names of twins: of a model.py, and of a backend in C++
_LIBRARY = "libtriton_limit.so"
_SOURCE = Path(__file__).parent / "limit.cc"
_random = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """A model in the repository, one row of its inputs, how many of them a request has."""

    name: str
    title: str
    batch: int
    row: dict[str, np.ndarray]
    files: tuple[Path, ...]  # of an ensemble several, one after the other
    runtime: str = "onnxruntime"

    def raw(self) -> Callable[[], object]:
        """One call of the runtime on a request's inputs."""
        inputs = {name: np.stack([array] * self.batch) for name, array in self.row.items()}
        if self.runtime == "openvino":
            import openvino as ov

            options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
            model = ov.Core().compile_model(str(self.files[0]), "CPU", options)
            return lambda: model.create_infer_request().infer(inputs, share_inputs=True, share_outputs=True)
        import onnxruntime as ort

        inputs = {
            name: array.astype(str).astype(object) if array.dtype == object else array for name, array in inputs.items()
        }
        sessions = [ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]) for file in self.files]

        def call() -> object:
            fed = inputs
            for session in sessions:
                fed = {"x" if name == "y" else name: made for name, made in _named(session, session.run(None, fed))}
            return fed

        return call


def _named(session: Any, made: list[Any]) -> list[tuple[str, Any]]:
    return list(zip((output.name for output in session.get_outputs()), made, strict=True))


def cases(repository: Path) -> list[Case]:
    """Write every model and its twins, which need `limit` beside the repository; the rows of the table."""
    digits = dense(64, 32, 10)
    mlp = dense(784, 512, 512, 10)
    image = {"x": _random.random((1, 28, 28), np.float32)}
    large = {"x": _random.random((3, 112, 112), np.float32)}
    texts = {"x": np.array([f"word {index % 7}".encode() for index in range(16)], np.object_)}
    return [
        _case(repository, "digits", "digits", digits, {"x": _random.random(64, np.float32)}),
        _case(repository, "digits8", "digits", digits, {"x": _random.random(64, np.float32)}, batch=8),
        _case(repository, "mlp", "MLP", mlp, {"x": _random.random(784, np.float32)}),
        _cascade(repository),
        _case(repository, "strings", "strings (16 a row)", _strings(), texts),
        _case(repository, "cnn", "CNN of 28²", _cnn(1, 28, 8, 16), image),
        _case(repository, "cnn112", "CNN of 112²", _cnn(3, 112, 16, 32), large),
        _case(repository, "mlp_openvino", "MLP, openvino", mlp, {"x": _random.random(784, np.float32)}, "openvino"),
        _case(
            repository, "resnet50", "ResNet-50", resnet50(), {"gpu_0/data_0": _random.random((3, 224, 224), np.float32)}
        ),
    ]


def limit(folder: Path) -> Path:
    """Compile the backend that answers at once. Raises UnfitError."""
    sources = (_SOURCE, compiled.SOURCES / "json.cc")
    return compiled.compile_library(sources, folder / _LIBRARY, f"-I{compiled.SOURCES}")


def small(repository: Path, count: int) -> list[str]:
    """So many copies of one small model; their names."""
    names = [f"small_{index}" for index in range(count)]
    for name in names:
        shutil.copytree(repository / "digits", repository / name)
    return names


def _model(nodes: list[onnx.NodeProto], x: tuple[int, list[Any]], y: tuple[int, list[Any]], weights: Mapping[str, Any]):
    graph = helper.make_graph(
        nodes, "measured",
        [helper.make_tensor_value_info("x", x[0], ["batch", *x[1]])],
        [helper.make_tensor_value_info("y", y[0], ["batch", *y[1]])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _weights(*shape: int) -> np.ndarray:
    return _random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)


def dense(*sizes: int) -> onnx.ModelProto:
    """A network of dense layers of these widths."""
    nodes, weights, last = [], {}, "x"
    for index, (before, after) in enumerate(itertools.pairwise(sizes)):
        weights[f"w{index}"] = _weights(after, before)
        nodes.append(helper.make_node("Gemm", [last, f"w{index}"], [f"g{index}"], transB=1))
        nodes.append(helper.make_node("Relu", [f"g{index}"], [f"r{index}"]))
        last = f"r{index}"
    nodes.append(helper.make_node("Softmax", [last], ["y"]))
    return _model(nodes, (TensorProto.FLOAT, [sizes[0]]), (TensorProto.FLOAT, [sizes[-1]]), weights)


def _cnn(channels: int, size: int, *widths: int) -> onnx.ModelProto:
    nodes, weights, last, before = [], {}, "x", channels
    for index, width in enumerate(widths):
        weights[f"w{index}"] = _weights(width, before, 3, 3)
        nodes.append(helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        last, before = f"r{index}", width
    weights["out"] = _weights(10, before)
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["p"]))
    nodes.append(helper.make_node("Flatten", ["p"], ["f"]))
    nodes.append(helper.make_node("Gemm", ["f", "out"], ["y"], transB=1))
    return _model(nodes, (TensorProto.FLOAT, [channels, size, size]), (TensorProto.FLOAT, [10]), weights)


def _strings() -> onnx.ModelProto:
    keys = [f"word {index}" for index in range(7)]
    node = helper.make_node(
        "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=keys, values_strings=keys[::-1]
    )
    return _model([node], (TensorProto.STRING, [16]), (TensorProto.STRING, [16]), {})


def _case(
    repository: Path, name: str, title: str, model: onnx.ModelProto, row: dict[str, np.ndarray],
    backend: str = "onnxruntime", *, batch: int = 1,
) -> Case:  # fmt: skip
    file = _file(repository / name, model)
    _configured(repository, name, backend, model)
    return Case(name, title, batch, row, (file,), backend)


def _file(folder: Path, model: onnx.ModelProto) -> Path:
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1/model.onnx")
    return folder / "1/model.onnx"


def _configured(repository: Path, name: str, backend: str, model: onnx.ModelProto) -> None:
    text = (
        'max_batch_size: 8\ninstance_group { count: 1 kind: KIND_CPU }\n'
        "dynamic_batching { max_queue_delay_microseconds: 0 }\n"
        + _tensors("input", model.graph.input) + _tensors("output", model.graph.output)
    )  # fmt: skip
    (repository / name / "config.pbtxt").write_text(
        f'backend: "{backend}"\ndefault_model_filename: "model.onnx"\n{text}'
    )
    for twin, backend in ((f"{FLOOR}{name}", "python"), (f"{LIMIT}{name}", "limit")):
        (repository / twin / "1").mkdir(parents=True)
        (repository / twin / "config.pbtxt").write_text(f'backend: "{backend}"\n{text}')
    (repository / f"{FLOOR}{name}" / "1/model.py").write_text(_FLOOR)
    (repository / f"{LIMIT}{name}" / _LIBRARY).symlink_to(repository.parent / _LIBRARY)


def _tensors(key: str, tensors: Any) -> str:
    types = {TensorProto.FLOAT: "TYPE_FP32", TensorProto.STRING: "TYPE_STRING"}
    return "".join(
        f'{key} {{ name: "{tensor.name}" data_type: {types[tensor.type.tensor_type.elem_type]} '
        f"dims: {[size.dim_value for size in tensor.type.tensor_type.shape.dim][1:]} }}\n"
        for tensor in tensors
    )


def _cascade(repository: Path) -> Case:
    """Two small models, one after the other, as an ensemble; its twins are of twins."""
    models = {"first": dense(64, 64, 32), "second": dense(32, 32, 10)}
    files = tuple(_file(repository / name, model) for name, model in models.items())
    for name, model in models.items():
        _configured(repository, name, "onnxruntime", model)
    for prefix in ("", FLOOR, LIMIT):
        steps = (
            f'step {{ model_name: "{prefix}first" model_version: -1 input_map {{ key: "x" value: "x" }} '
            'output_map { key: "y" value: "between" } }\n'
            f'step {{ model_name: "{prefix}second" model_version: -1 input_map {{ key: "x" value: "between" }} '
            'output_map { key: "y" value: "y" } }\n'
        )
        folder = repository / f"{prefix}cascade"
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text(
            'platform: "ensemble"\nmax_batch_size: 8\n'
            'input { name: "x" data_type: TYPE_FP32 dims: [ 64 ] }\n'
            'output { name: "y" data_type: TYPE_FP32 dims: [ 10 ] }\n'
            f"ensemble_scheduling {{ {steps} }}\n"
        )
    return Case("cascade", "cascade of two", 1, {"x": _random.random(64, np.float32)}, files)
