"""An ONNX graph that is written down one operator at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.core.types import Tensor

OPSET = 18  # of what stands alone: Triton 22.12 and later take it
LEAST_OPSET = 13  # of a model that is joined with it
IR_VERSION = 8
_ONNX = {"BOOL": "BOOL", "FP16": "FLOAT16", "FP32": "FLOAT", "FP64": "DOUBLE", "BF16": "BFLOAT16", "BYTES": "STRING"}


def element_type(dtype: str) -> int:
    """ONNX's number of a Triton dtype."""
    from onnx import TensorProto

    return int(TensorProto.DataType.Value(_ONNX.get(dtype, dtype)))


class Graph:
    """Nodes in the order in which they were written; a tensor is its name."""

    def __init__(self, prefix: str = "", opset: int = OPSET) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[tuple[object, ...], Any] = {}
        self.prefix, self.opset, self._count = prefix, opset, 0

    def op(self, kind: str, *inputs: str | Array | np.generic, results: int = 1, **attributes: object) -> Any:
        """The result of an operator, or the results; an array among the inputs is a constant."""
        from onnx import helper

        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        made = [self._fresh() for _ in range(results)]
        self.nodes.append(helper.make_node(kind, names, made, **attributes))
        return made[0] if results == 1 else made

    def constant(self, value: Array | np.generic) -> str:
        """A constant's name; the same value has one."""
        from onnx import numpy_helper

        array = np.asarray(value)
        key = (array.dtype.str, array.shape, tuple(array.ravel()) if array.dtype == np.object_ else array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, self._fresh())
        return str(self.constants[key].name)

    def cast(self, tensor: str, dtype: str) -> str:
        """A tensor in another dtype, by Triton's name of it."""
        return str(self.op("Cast", tensor, to=element_type(dtype)))

    def shape(self, tensor: str, start: int, end: int) -> str:
        """Some of a tensor's sizes, as a vector."""
        if self.opset < 15:
            return self.cut(self.op("Shape", tensor), 0, start, end)
        return str(self.op("Shape", tensor, start=start, end=end))

    def cut(self, tensor: str, axis: int, start: int, end: int | None = None) -> str:
        """A part along one axis."""
        bounds = [np.array([n], np.int64) for n in (start, 2**31 - 1 if end is None else end, axis)]
        return str(self.op("Slice", tensor, *bounds))

    def largest(self, tensor: str, axis: int) -> str:
        """The largest value along an axis, which goes."""
        return self._reduced("ReduceMax", tensor, axis)

    def least(self, tensor: str, axis: int) -> str:
        """The least value along an axis, which goes."""
        return self._reduced("ReduceMin", tensor, axis)

    def _reduced(self, kind: str, tensor: str, axis: int) -> str:
        if self.opset < 18:
            return str(self.op(kind, tensor, axes=[axis], keepdims=0))
        return str(self.op(kind, tensor, np.array([axis], np.int64), keepdims=0))

    def with_axes(self, tensor: str, *axes: int) -> str:
        """With further axes of one."""
        return str(self.op("Unsqueeze", tensor, np.array(axes, np.int64)))

    def without_axes(self, tensor: str, *axes: int) -> str:
        """Without these axes of one."""
        return str(self.op("Squeeze", tensor, np.array(axes, np.int64)))

    def counted(self, count: str) -> str:
        """The whole numbers below a count, which is a vector of one."""
        zero, one = np.int64(0), np.int64(1)
        return str(self.op("Range", zero, self.without_axes(count, 0), one))

    def give(self, tensor: str, name: str) -> None:
        """Make a tensor an output of this name."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [tensor], [name]))

    def body(self, state: str, after: str, again: str) -> Any:
        """The graph as what a Loop repeats: `state` (INT64) becomes `after`, as long as `again` holds."""
        from onnx import TensorProto, helper

        infos = helper.make_tensor_value_info
        told = infos(f"{self.prefix}round", TensorProto.INT64, []), infos(f"{self.prefix}go", TensorProto.BOOL, [])
        inputs = [*told, infos(state, TensorProto.INT64, None)]
        outputs = [infos(again, TensorProto.BOOL, []), infos(after, TensorProto.INT64, None)]
        return helper.make_graph(self.nodes, "body", inputs, outputs, list(self.constants.values()))

    def each(self, inputs: Mapping[str, str], dtype: str) -> Any:
        """The graph as what a Scan does with each row of its inputs (name → dtype): the last result, stacked."""
        from onnx import helper

        infos = helper.make_tensor_value_info
        taken = [infos(name, element_type(kind), None) for name, kind in inputs.items()]
        given = infos(self.nodes[-1].output[0], element_type(dtype), ["of each"])
        return helper.make_graph(self.nodes, "each", taken, [given], list(self.constants.values()))

    def model(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> bytes:
        """The graph as a file."""
        from onnx import helper

        graph = helper.make_graph(
            self.nodes, "front", _described(inputs), _described(outputs), list(self.constants.values())
        )
        opsets = [helper.make_opsetid("", self.opset)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="tritonpm")
        return bytes(made.SerializeToString(deterministic=True))

    def _fresh(self) -> str:
        self._count += 1
        return f"{self.prefix}{self._count}"


def _described(tensors: Iterable[Tensor]) -> list[Any]:
    from onnx import helper

    return [helper.make_tensor_value_info(t.name, element_type(t.dtype), t.shape) for t in tensors]
