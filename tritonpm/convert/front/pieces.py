"""The two models of a front: one makes inputs of pictures, the other says what the outputs hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.about import FrontAbout
from tritonpm.convert.front.graph import OPSET, Graph
from tritonpm.convert.front.objects import READERS
from tritonpm.convert.front.pictures import GEOMETRY, prepared
from tritonpm.core.types import Shape, Signature, Tensor, dims
from tritonpm.meaning.served import IMAGE, PIXELS
from tritonpm.meaning.spec import ROLES, Decode, Preprocess
from tritonpm.meaning.stages import tensor_of

PLACES = "picture_geometry"  # from the one piece to the other
PLACED = "places"  # the same, from whoever has placed the pictures to the first piece
MODEL, RAW = "model.", "raw."  # before the names of the model's tensors: between it and the pieces, and for clients
# The outputs that models of one picture give without a batch axis: with one they have three.
_OF_ONE = {"boxes": ("boxes",), "efficient-nms": ("boxes",), "ocr-recognition": ("scores",)}


@dataclass(frozen=True)
class FrontModel:
    """An ONNX model and its signature."""

    model: bytes
    signature: Signature


def pictures(
    spec: Preprocess, signature: Signature, *, batched: bool, placed: bool = False, opset: int = OPSET
) -> FrontModel:
    """From `IMAGE` (UINT8 [n, height, width, 3]) to a model's inputs.

    With `placed` it is resized already, and `PLACED` says where it lies. Raises ConversionError where they do not fit.
    """
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    name = spec.input or next(name for name in tensors if name not in spec.geometry)
    _require_size(spec, tensors[name])
    graph, rows = Graph("pictures/", opset), "batch" if batched else 1
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    made = prepared(graph, IMAGE, spec, name, dtypes, PLACED if placed else "")
    places, outputs = Tensor(PLACES, "FP64", ("batch", GEOMETRY)), []
    for tensor, value in made.items():
        described = replace(tensors[tensor], name=MODEL + tensor) if tensor else places
        graph.give(value, described.name)
        outputs.append(_fixed(described, rows))
    inputs = [_fixed(one, rows) for one in (PIXELS, replace(places, name=PLACED))[: 2 if placed else 1]]
    return FrontModel(graph.model(inputs, outputs), Signature(tuple(inputs), tuple(outputs)))


def objects(
    spec: Decode, signature: Signature, labels: tuple[str, ...], *,
    batched: bool, raw: bool = False, opset: int = OPSET,
) -> FrontModel:  # fmt: skip
    """From a model's outputs to what they hold; with `raw` the outputs themselves beside them.

    Raises ConversionError where an output has no rank.
    """
    tensors = {tensor.name: tensor for tensor in signature.outputs}
    roles = {role.rstrip("?"): tensor_of(spec, role.rstrip("?"), tuple(tensors)) for role in ROLES[spec.kind]}
    roles = {role: name for role, name in roles.items() if name}
    graph, rows = Graph("objects/", opset), "batch" if batched else 1
    lifted = any(len(_shape(tensors[roles[role]])) == 2 for role in _OF_ONE.get(spec.kind, ()))
    read, about = {}, {}
    for role, name in roles.items():
        shape = _shape(tensors[name])
        read[role] = graph.with_axes(MODEL + name, 0) if lifted else MODEL + name
        about[role] = replace(tensors[name], shape=(1, *shape) if lifted else shape)
    found = READERS[spec.kind](read, FrontAbout(graph, spec, PLACES, about, labels))
    for one in found:
        graph.give(one.tensor, one.described.name)
    outputs = [_fixed(one.described, rows) for one in found]
    wanted = tensors if raw else {name: tensors[name] for name in roles.values()}
    inputs = [replace(tensor, name=MODEL + name) for name, tensor in wanted.items()]
    inputs.append(Tensor(PLACES, "FP64", (rows, GEOMETRY)))
    for name, tensor in tensors.items() if raw else ():
        graph.give(MODEL + name, RAW + name)
        outputs.append(replace(tensor, name=RAW + name))
    return FrontModel(graph.model(inputs, outputs), Signature(tuple(inputs), tuple(outputs), labels))


def _fixed(tensor: Tensor, rows: str | int) -> Tensor:
    """With so many rows, where it is one that has a batch axis of its own name."""
    shape = tensor.shape
    return replace(tensor, shape=(rows, *shape[1:])) if shape and shape[0] == "batch" else tensor


def _shape(tensor: Tensor) -> Shape:
    if tensor.shape is None:
        raise ConversionError(f"output {tensor.name!r} has no rank", do="export the model with its shape")
    return tensor.shape


def _require_size(spec: Preprocess, tensor: Tensor) -> None:
    """Raise ConversionError where pictures of that size are none that the model takes."""
    if tensor.shape is None or spec.size is None or spec.resize not in ("stretch", "letterbox", "shortest-side"):
        return
    wanted = dims(tensor.shape)
    first = {"NCHW": 2, "NHWC": 1, "CHW": 1, "HWC": 0}[spec.layout]
    if len(wanted) == len(spec.layout):
        sides = wanted[first : first + 2]
        if any(side not in (-1, given) for side, given in zip(sides, spec.size, strict=True)):
            raise ConversionError(
                f"preprocess says {list(spec.size)}, but {tensor.name!r} takes {list(sides)}",
                do=f"`--preprocess size={sides[0]},{sides[1]}`",
            )
        return
    raise ConversionError(f"preprocess says {spec.layout}, but {tensor.name!r} has {len(wanted)} dimensions",
                          do="correct its layout")  # fmt: skip
