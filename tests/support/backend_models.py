"""Small models and configs, each a few lines of ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]

DTYPES = {
    "BOOL": (TensorProto.BOOL, np.array([[True, False], [False, False], [True, True]])),
    "UINT8": (TensorProto.UINT8, np.array([[0, 255], [1, 2], [3, 4]], np.uint8)),
    "UINT16": (TensorProto.UINT16, np.array([[0, 65535], [1, 2], [3, 4]], np.uint16)),
    "UINT32": (TensorProto.UINT32, np.array([[0, 2**32 - 1], [1, 2], [3, 4]], np.uint32)),
    "UINT64": (TensorProto.UINT64, np.array([[0, 2**64 - 1], [1, 2], [3, 4]], np.uint64)),
    "INT8": (TensorProto.INT8, np.array([[-128, 127], [1, 2], [3, 4]], np.int8)),
    "INT16": (TensorProto.INT16, np.array([[-32768, 32767], [1, 2], [3, 4]], np.int16)),
    "INT32": (TensorProto.INT32, np.array([[-(2**31), 2**31 - 1], [1, 2], [3, 4]], np.int32)),
    "INT64": (TensorProto.INT64, np.array([[-(2**63), 2**63 - 1], [1, 2], [3, 4]], np.int64)),
    "FP16": (TensorProto.FLOAT16, np.array([[0.5, -65504], [np.inf, np.nan], [3, 4]], np.float16)),
    "FP32": (TensorProto.FLOAT, np.array([[0.1, -3.4e38], [np.inf, np.nan], [3, 4]], np.float32)),
    "FP64": (TensorProto.DOUBLE, np.array([[0.1, -1.7e308], [np.inf, np.nan], [3, 4]], np.float64)),
    "BF16": (TensorProto.BFLOAT16, np.array([[0.5, -3.3e38], [1.5, 2], [3, 4]], ml_dtypes.bfloat16)),
    "STRING": (TensorProto.STRING, np.array([[b"text", "ö".encode()], [b"", b"a b"], [b"x\ny", b"1"]], np.object_)),
}


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Shape]],
    outputs: Mapping[str, tuple[int, Shape]],
    **initializers: np.ndarray,
) -> onnx.ModelProto:
    """A model of these nodes; tensors are (ONNX type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, *tensor) for name, tensor in inputs.items()],
        [helper.make_tensor_value_info(name, *tensor) for name, tensor in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def one(operator: str, shape: Shape = ("batch", 3), to: Shape | None = None, **attributes: object) -> onnx.ModelProto:
    """FP32 `x` through one operator to FP32 `y`."""
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    return model([node], {"x": (TensorProto.FLOAT, shape)}, {"y": (TensorProto.FLOAT, shape if to is None else to)})


def every_dtype(names: Sequence[str], shape: Shape = ("batch", 2)) -> onnx.ModelProto:
    """Each dtype's input in_NAME handed on to out_NAME."""
    return model(
        [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in names],
        {f"in_{name}": (DTYPES[name][0], shape) for name in names},
        {f"out_{name}": (DTYPES[name][0], shape) for name in names},
    )


def config(
    backend: str,
    inputs: Mapping[str, tuple[str, Sequence[int]]] | None = None,
    outputs: Mapping[str, tuple[str, Sequence[int]]] | None = None,
    *,
    batch: int = 0,
    delay_us: int | None = None,
    more: str = "",
    **parameters: str,
) -> str:
    """A config.pbtxt; tensors are (dtype, dims), `delay_us` makes a dynamic batcher that waits for a full batch."""
    lines = [f'backend: "{backend}"', f"max_batch_size: {batch}"]
    for key, tensors in (("input", inputs or {}), ("output", outputs or {})):
        for name, (dtype, dims) in tensors.items():
            lines.append(f'{key} {{ name: "{name}" data_type: TYPE_{dtype} dims: {list(dims)} }}')
    if delay_us is not None:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}")
    lines += [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in parameters.items()]
    return "\n".join([*lines, more, ""])


def xy(backend: str, dims: Sequence[int] = (3,), to: Sequence[int] | None = None, **options: object) -> str:
    """The config of a model of `one`."""
    return config(
        backend,
        {"x": ("FP32", dims)},
        {"y": ("FP32", dims if to is None else to)},
        **options,  # type: ignore[arg-type]
    )
