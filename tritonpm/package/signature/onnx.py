"""The tensors of an ONNX model, and the files outside it that its weights lie in.

Source: onnx.proto and ONNX's ExternalData document; what Triton's onnxruntime backend serves of it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.core.types import DTYPES, Dim, Needs, Shape, Signature, Tensor
from tritonpm.package.kernels import lacks
from tritonpm.package.labels import from_metadata
from tritonpm.package.limits import Limits
from tritonpm.package.paths import problem
from tritonpm.package.signature.model_file import ReadModel
from tritonpm.package.signature.wire import skim

_TYPES = {
    "FLOAT": "FP32", "DOUBLE": "FP64", "FLOAT16": "FP16", "BFLOAT16": "BF16", "STRING": "BYTES",
    **{name: name for name in DTYPES if name not in ("FP32", "FP64", "FP16", "BF16", "BYTES")},
}  # fmt: skip
_DOMAINS = {
    "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training",
    "com.microsoft", "com.microsoft.nchwc", "com.microsoft.experimental", "com.ms.internal.nhwc",
}  # fmt: skip


# Operators of com.microsoft that load or run programs: compiled engines (by a path, too), Python, GPU kernels.
_RUNNING = {"EPContext", "PythonOp", "PythonOpGrad", "TritonOp", "ExternOp", "ATen", "ATenGrad", "Snpe", "YieldOp"}
_OVERRIDABLE = 4  # the IR from which on weights that stand among the inputs may be sent; before, all had to stand there
_BITS = {
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64), "COMPLEX128": 128,
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4), **dict.fromkeys(("INT2", "UINT2"), 2),
}  # fmt: skip


def read(path: Path, where: str, limits: Limits) -> ReadModel:
    """The signature, the metadata, and the external files it needs as paths relative to the model's folder.

    Raises PackageError for a file that is not an ONNX model or that the runtime cannot serve, UnsafeError for external
    data outside the model's folder.
    """
    model = skimmed(path, where, limits)
    if not model.HasField("graph") or not model.ir_version or not model.opset_import:
        raise PackageError("is not an ONNX model, or is cut off", where=where, do="export or copy it again")
    _check_versions(model, where)
    _check_domains(model, where)
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    inputs = tuple(_tensor(value, "input", where) for value in model.graph.input if value.name not in weights)
    outputs = tuple(_tensor(value, "output", where) for value in model.graph.output)
    overridable = tuple(
        _tensor(value, "input", where) for value in model.graph.input
        if value.name in weights and model.ir_version >= _OVERRIDABLE
    )  # fmt: skip
    if not outputs:
        raise PackageError("has no outputs", where=where, do="export it with its outputs")
    external = tuple(sorted(_external_files(model, path.parent, where, limits)))
    metadata = {_text(entry.key): _text(entry.value) for entry in model.metadata_props}
    ends = {name for value in model.graph.output for name in [value.name]}
    softmax = any(node.op_type == "Softmax" and ends & set(node.output) for node in model.graph.node)
    signature = Signature(inputs, outputs, from_metadata(metadata), overridable)
    asked = replace(_needs(model), kernels=tuple(sorted({lack.span for lack in lacks(model)})))
    return ReadModel(signature, external, metadata, softmax, asked)


def needs(path: Path, where: str, limits: Limits) -> Needs:
    """What it asks of its runtime; the newest opsets, its functions' too. Raises PackageError."""
    return _needs(skimmed(path, where, limits))


def _needs(model: Any) -> Needs:
    imported = [*model.opset_import, *(opset for function in model.functions for opset in function.opset_import)]

    def newest(*domains: str) -> int:
        return max((opset.version for opset in imported if opset.domain in domains), default=0)

    return Needs(model.ir_version, newest("", "ai.onnx"), newest("ai.onnx.ml"))


def external_locations(path: Path, where: str, limits: Limits) -> list[str]:
    """Where a model says that its external data lie, relative to its folder; each is a path inside of it.

    Raises PackageError, UnsafeError.
    """
    locations: dict[str, None] = {}
    for tensor, facts in _external(skimmed(path, where, limits), where):
        location = facts.get("location", "")
        _require_inside(location, tensor.name, where, limits)
        locations[location] = None
    return list(locations)


def skimmed(path: Path, where: str, limits: Limits) -> Any:
    """The model without its weights. Raises PackageError."""
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    if not path.stat().st_size:
        raise PackageError("is empty", where=where, do="export or copy it again")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        small = skim(data, where, limits)
    try:
        return ModelProto.FromString(small)
    except DecodeError:
        raise PackageError("is not an ONNX model, or is cut off", where=where, do="export or copy it again") from None


def _check_versions(model: Any, where: str) -> None:
    from onnx.helper import VERSION_TABLE

    _, ir, onnx, ml, *_ = VERSION_TABLE[-1]
    newest = {"": onnx, "ai.onnx": onnx, "ai.onnx.ml": ml}
    if model.ir_version > ir:
        raise PackageError(
            f"has IR version {model.ir_version}, newer than {ir}", where=where, do="export it for an older one"
        )
    for opset in model.opset_import:
        if opset.version > newest.get(opset.domain, opset.version):
            raise PackageError(
                f"has opset {opset.version} of {opset.domain or 'ai.onnx'}, newer than {newest[opset.domain]}",
                where=where,
                do="export it for an older one",
            )


def _check_domains(model: Any, where: str) -> None:
    known = _DOMAINS | {function.domain for function in model.functions}
    for node in _nodes(model):
        if node.domain not in known:
            raise PackageError(
                f"uses the operator {node.op_type!r} of the unknown domain {node.domain!r}",
                where=where,
                do="export it without custom operators",
            )


def running_operator(path: Path, where: str, limits: Limits) -> str:
    """An operator of the model that makes a runtime load or run something else; "" where it has none."""
    return next((node.op_type for node in _nodes(skimmed(path, where, limits)) if node.op_type in _RUNNING), "")


def _graphs(model: Any) -> list[Any]:
    training = [graph for info in model.training_info for graph in (info.initialization, info.algorithm)]
    return [model.graph, *training, *(graph for attribute in _defaults(model) for graph in _inside(attribute))]


def _defaults(model: Any) -> list[Any]:
    """The attributes that functions take where a node gives none."""
    return [attribute for function in model.functions for attribute in function.attribute_proto]


def _inside(attribute: Any) -> list[Any]:
    return [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _nodes(model: Any) -> Iterator[Any]:
    """Every node of the graphs, their subgraphs and the model's functions."""
    waiting = [*_graphs(model), *model.functions]
    while waiting:
        for node in waiting.pop().node:
            yield node
            for attribute in node.attribute:
                waiting += _inside(attribute)


def _tensor(value: Any, side: str, where: str) -> Tensor:
    from onnx import TensorProto

    kind = value.type.WhichOneof("value")
    if not value.name or not _text(value.name).isprintable():
        raise PackageError(f"has an {side} without a printable name", where=where, do="name it and export it again")
    if kind != "tensor_type":
        what = (kind or "unknown").removesuffix("_type").replace("_", " ")
        raise PackageError(f"its {side} {value.name!r} is of {what} type, and Triton takes only tensors", where=where,
                           do="export it with tensors")  # fmt: skip
    element = value.type.tensor_type.elem_type
    name = TensorProto.DataType.Name(element) if element in TensorProto.DataType.values() else str(element)
    if name not in _TYPES:
        raise PackageError(f"its {side} {value.name!r} is {name}, which Triton has no type for", where=where,
                           do="cast it in the model")  # fmt: skip
    return Tensor(value.name, _TYPES[name], _shape(value.type.tensor_type))


def _text(value: str | bytes) -> str:
    """A string of the model; one that is not UTF-8 comes as bytes, and becomes unprintable text."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _shape(tensor_type: Any) -> Shape | None:
    if not tensor_type.HasField("shape"):
        return None
    return tuple(_dim(dim) for dim in tensor_type.shape.dim)


def _dim(dim: Any) -> Dim:
    if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0:
        return int(dim.dim_value)
    name = _text(dim.dim_param)
    return name if name and name.isprintable() and len(name) <= 64 else "?"


def _external_files(model: Any, folder: Path, where: str, limits: Limits) -> dict[str, int]:
    """The external data files and their sizes, each checked to be a plain file under `folder` that is long enough."""
    sizes: dict[str, int] = {}
    for tensor, facts in _external(model, where):
        location = facts.get("location", "")
        if location not in sizes:
            sizes[location] = _external_size(location, tensor.name, folder, where, limits)
        _check_range(facts, tensor, sizes[location], location, where)
    return sizes


def _external(model: Any, where: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """Every tensor whose data lie elsewhere, and what it says of that."""
    for tensor in _tensors(model):
        if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
            facts = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
            if len(facts) < len(tensor.external_data):
                raise UnsafeError(f"the external data of {tensor.name!r} lies in two places", where=where,
                                  do="export it again")  # fmt: skip
            yield tensor, facts


def _external_size(location: str, name: str, folder: Path, where: str, limits: Limits) -> int:
    _require_inside(location, name, where, limits)
    file = folder / location
    if not file.is_file():
        raise PackageError(f"the external data of {name!r}, {location!r}, is not there", where=where,
                           do="provide the model with its data beside it")  # fmt: skip
    return file.stat().st_size


def _require_inside(location: str, name: str, where: str, limits: Limits) -> None:
    if reason := problem(location, limits):
        what = f"the external data of {name!r}, {location!r}, {reason}"
        raise UnsafeError(what, where=where, do="save the model with its data beside it")


def _check_range(facts: dict[str, str], tensor: Any, size: int, location: str, where: str) -> None:
    numbers = [facts.get("offset") or "0", facts.get("length") or "0"]
    plain = all(n.isascii() and n.isdigit() and len(n) < 20 for n in numbers)
    offset, length = map(int, numbers) if plain else (0, 0)
    if not plain or offset + max(length, _bytes(tensor)) > size or 0 < length < _bytes(tensor):
        raise PackageError(
            f"the external data of {tensor.name!r} ends past the end of {location!r}",
            where=where,
            do="copy the model with all its data again",
        )


def _bytes(tensor: Any) -> int:
    """How long a tensor's data are; 0 where it has a type that is not known here."""
    from onnx import TensorProto

    names = {number: name for name, number in TensorProto.DataType.items()}
    bits = _BITS.get(names.get(tensor.data_type, ""), 8 if tensor.data_type in names else 0)
    return (prod(max(0, int(size)) for size in tensor.dims) * bits + 7) // 8


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor that may have external data: initializers and attributes, dense and sparse, at every level."""
    for graph in _graphs(model):
        yield from _of_graph(graph)
    attributes = (attribute for node in _nodes(model) for attribute in node.attribute)
    for attribute in (*_defaults(model), *attributes):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in _inside(attribute):
            yield from _of_graph(graph)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
