"""Building ONNX graphs: nodes one after the other, constants where they are used, plain names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.core.types import Tensor

OPSET, IR = 17, 8  # what Triton's oldest ONNX Runtime here and TensorRT read

_PREFIX = "tritonpm/"  # of names that no model has


class Operators:
    """A graph in the making; every method that adds a node returns the name of what it gives."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, value: Array | Sequence[Any] | float, dtype: Any = np.float32) -> str:
        """A tensor that is known."""
        from onnx import numpy_helper

        name = f"{_PREFIX}constant.{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def whole(self, *numbers: int) -> str:
        """A list of INT64."""
        return self.constant(numbers, np.int64)

    def add(self, op: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """A node with one output, named `to` where it is to have a name."""
        return self.split(op, *inputs, to=(to,), **attributes)[0]

    def split(self, op: str, *inputs: str, to: Sequence[str], **attributes: Any) -> tuple[str, ...]:
        """A node with several outputs."""
        from onnx import helper

        if op == "Cast":
            attributes["to"] = element(attributes.pop("dtype"))
        names = tuple(name or f"{_PREFIX}{len(self._nodes)}.{index}" for index, name in enumerate(to))
        self._nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def columns(self, of: str, first: int, last: int, axis: int = 1) -> str:
        """What lies between two places of an axis."""
        return self.add("Slice", of, self.whole(first), self.whole(last), self.whole(axis))

    def model(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], metadata: Mapping[str, str]) -> bytes:
        """The model, the same bytes each time. Raises onnx.checker.ValidationError: what was built is none."""
        from onnx import checker, helper

        graph = helper.make_graph(self._nodes, "g", _values(inputs), _values(outputs), self._constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        helper.set_model_props(made, dict(metadata))
        checker.check_model(made, full_check=True)
        return bytes(made.SerializeToString(deterministic=True))


_ONNX = {"FP32": "FLOAT", "FP16": "FLOAT16", "FP64": "DOUBLE", "BF16": "BFLOAT16", "BYTES": "STRING"}


def element(dtype: str) -> int:
    """ONNX's number of a dtype."""
    from onnx import TensorProto

    return int(getattr(TensorProto, _ONNX.get(dtype, dtype)))


def _values(tensors: Sequence[Tensor]) -> list[Any]:
    from onnx import helper

    return [helper.make_tensor_value_info(one.name, element(one.dtype), one.shape) for one in tensors]
