"""A model with a static batch of 1, made one with a dynamic first dimension. Whether it is right, `verify` must say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tritonpm.core.types import Format

BATCH = "batch"  # the name of the new dimension


class NotRewritableError(Exception):
    """The graph has the batch of 1 in it in a way that is not known here."""


def make_batchable(format: Format, model: Path) -> Path:
    """Write the rewritten model beside `model`, where its external weights lie. Raises NotRewritableError."""
    target = model.with_name(f"batchable-{model.name}")
    if format is Format.ONNX:
        _rewrite_onnx(model, target)
    else:
        _rewrite_openvino(model, target)
    return target


def _rewrite_onnx(source: Path, target: Path) -> None:
    """Free the first dimensions, and the constants of shapes that repeat them."""
    import onnx

    model = onnx.load(source, load_external_data=False)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}  # IR < 4 lists them among the inputs
    inputs = [value for value in graph.input if value.name not in weights]
    for value in (*inputs, *graph.output):
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]  # they repeat the static batch
    graph_nodes = list(_freed(graph, {value.name for value in inputs}, source.parent))
    del graph.node[:]
    graph.node.extend(graph_nodes)
    onnx.save(model, target)


def _freed(graph: Any, batched: set[str], folder: Path) -> Iterator[Any]:
    """The graph's nodes; those that repeat the batch of 1 in a constant are changed.

    `batched` are the tensors computed from an input, hence with rows; a weight that is reshaped has none.
    """
    constants = _constants(graph)
    for node in graph.node:
        if not batched.intersection(node.input):
            yield node
            continue
        batched.update(node.output)
        if node.op_type == "Reshape":
            yield from _freed_reshape(node, constants, folder)
        elif node.op_type == "Resize" and len(node.input) > 3 and node.input[3] in constants:
            yield from _freed_sizes(node, constants, folder)
        elif node.op_type == "Concat":
            yield from _repeated_constants(node, batched)
        else:
            yield node


def _constants(graph: Any) -> dict[str, Any]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            given = {attribute.name: attribute for attribute in node.attribute}
            if "value" in given:
                constants[node.output[0]] = given["value"].t
            elif "value_ints" in given:
                constants[node.output[0]] = list(given["value_ints"].ints)
        elif node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return constants


def _integers(constant: Any, folder: Path) -> list[int]:
    from onnx import numpy_helper

    if isinstance(constant, list):
        return constant
    return [int(value) for value in numpy_helper.to_array(constant, str(folder)).ravel()]


def _free(sizes: list[int]) -> list[int]:
    """The target of a Reshape without its fixed first size: -1 infers it, or where that is taken, 0 copies it."""
    if -1 not in sizes and 0 not in sizes[:1]:
        return [-1, *sizes[1:]]
    return [0, *sizes[1:]] if sizes[0] == 1 else sizes


def _freed_reshape(node: Any, constants: dict[str, Any], folder: Path) -> Iterator[Any]:
    from onnx import helper

    for attribute in node.attribute:
        if attribute.name == "shape" and attribute.ints:  # opset < 5
            attribute.ints[:] = _free(list(attribute.ints))
    if len(node.input) > 1 and node.input[1] in constants and (sizes := _integers(constants[node.input[1]], folder)):
        name = f"{node.output[0]}_{BATCH}_shape"
        yield helper.make_node("Constant", [], [name], value=_int64(_free(sizes)))
        node.input[1] = name
    yield node


def _freed_sizes(node: Any, constants: dict[str, Any], folder: Path) -> Iterator[Any]:
    """Resize to fixed sizes: the first one is taken from its input."""
    from onnx import helper

    rest, sizes = f"{node.output[0]}_{BATCH}_rest", f"{node.output[0]}_{BATCH}_sizes"
    yield helper.make_node("Constant", [], [rest], value=_int64(_integers(constants[node.input[3]], folder)[1:]))
    yield from _rows_of(node.input[0], f"{node.output[0]}_{BATCH}_rows")
    yield helper.make_node("Concat", [f"{node.output[0]}_{BATCH}_rows", rest], [sizes], axis=0)
    node.input[3] = sizes
    yield node


def _repeated_constants(node: Any, batched: set[str]) -> Iterator[Any]:
    """Concat of rows with a constant of one row (a class token): the constant is repeated for each row."""
    from onnx import helper

    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    single = [index for index, name in enumerate(node.input) if name not in batched]
    if axis == 0 or not single:
        yield node
        return
    row = next(name for name in node.input if name in batched)
    stem = f"{node.output[0]}_{BATCH}"
    yield from _rows_of(row, f"{stem}_rows")
    for index in single:
        # Expand aligns at the last dimension, so the rows must come first of as many dimensions as there are.
        one = helper.make_node("Shape", [node.input[index]], [f"{stem}_{index}_shape"])
        ones = helper.make_node("Constant", [], [f"{stem}_{index}_first"], value=_int64([1]))
        end = helper.make_node("Constant", [], [f"{stem}_{index}_end"], value=_int64([2**31 - 1]))
        yield from (one, ones, end)
        yield helper.make_node(
            "Slice",
            [f"{stem}_{index}_shape", f"{stem}_{index}_first", f"{stem}_{index}_end"],
            [f"{stem}_{index}_rest"],
        )
        yield helper.make_node("Concat", [f"{stem}_rows", f"{stem}_{index}_rest"], [f"{stem}_{index}_target"], axis=0)
        yield helper.make_node("Expand", [node.input[index], f"{stem}_{index}_target"], [f"{stem}_{index}"])
        node.input[index] = f"{stem}_{index}"
    yield node


def _rows_of(tensor: str, name: str) -> Iterator[Any]:
    """Nodes that compute the first dimension of `tensor` as a vector of one element."""
    from onnx import helper

    yield helper.make_node("Shape", [tensor], [f"{name}_shape"])
    yield helper.make_node("Constant", [], [f"{name}_index"], value=_int64([0]))
    yield helper.make_node("Gather", [f"{name}_shape", f"{name}_index"], [name])


def _int64(values: list[int]) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor("value", TensorProto.INT64, [len(values)], values)


def unbound(source: Path, target: Path) -> None:
    """Leave open the sizes of an IR's inputs that have a largest: Triton's backend takes no open one with a largest."""
    from defusedxml import ElementTree

    tree = ElementTree.parse(source)
    for data in tree.iterfind("layers/layer[@type='Parameter']/data"):
        data.set("shape", ",".join("?" if ".." in size else size for size in data.get("shape", "").split(",")))
    tree.write(target, encoding="utf-8", xml_declaration=True)


def _rewrite_openvino(source: Path, target: Path) -> None:
    """Free the parameters' first dimensions in the .xml: shapes behind them are inferred, weights stay in the .bin."""
    from defusedxml import ElementTree

    tree = ElementTree.parse(source)
    for layer in tree.iterfind("layers/layer[@type='Parameter']"):
        data = layer.find("data")
        first, *rest = ("" if data is None else data.get("shape", "")).split(",")
        if data is None or first != "1":
            raise NotRewritableError("its parameters have no static shapes in the .xml")
        data.set("shape", ",".join(["?", *rest]))
    # What lies between is inferred when the model is read; these two are what tells its signature.
    for ports in ("layer[@type='Parameter']/output", "layer[@type='Result']/input"):
        for dimension in tree.iterfind(f"layers/{ports}/port/dim[1]"):
            dimension.text = "-1"
    tree.write(target, encoding="utf-8", xml_declaration=True)
    weights = source.with_suffix(".bin")
    if weights.exists():
        target.with_suffix(".bin").hardlink_to(weights)
