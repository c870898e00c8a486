"""Cutting out what a detector finds, as one ONNX model between two stages: boxes → crops, and the boxes beside them.

Everything is plain ONNX (NonMaxSuppression, RoiAlign), so that it runs in ONNX Runtime's own backend. It takes one
picture a request, the detector's input or, where clients send that, the picture as it is; its crops are the rows of the
next stage's batch. Where nothing is found there is still one crop, of
the picture's corner, whose answer belongs to no box: Triton refuses an empty batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.core.types import Shape, Signature, Tensor
from tritonpm.meaning.found import Raw, batched, found
from tritonpm.meaning.operators import Operators
from tritonpm.meaning.preprocess import LUMA
from tritonpm.meaning.spec import ROLES, Crop, Decode, Preprocess
from tritonpm.meaning.stages import Meaning, tensor_of

CROPS = "crops"
_OUTPUTS = (CROPS, "boxes", "scores", "classes")  # in this order
_AS_IT_IS = Preprocess(resize="none", layout="NHWC", dtype="UINT8")  # of pictures that clients send
_ROWS = "objects"  # the name of a dynamic dimension; that of the crops is another, which is never 0


@dataclass(frozen=True)
class Neighbour:
    """A stage that a crop stands between, and what is known of it."""

    name: str
    signature: Signature
    meaning: Meaning

    @property
    def taken(self) -> Tensor:
        """The input that the picture goes into. Raises ValueError: nobody says which."""
        first = self.meaning.preprocess
        if first is None or first.tokenizer:
            raise ValueError(f"stage {self.name} does not declare its `preprocess`, so its pixels mean nothing")
        others = [one for one in self.signature.inputs if one.name not in first.geometry]
        return next(one for one in others if first.input in ("", one.name))


def crops_of(signature: Signature) -> str:
    """The output of such a stage that holds the crops."""
    return signature.outputs[0].name


def decode_of(signature: Signature) -> dict[str, object]:
    """What the outputs of such a stage are. All objects count, in their order: that is decided already."""
    roles = {role: tensor.name for role, tensor in zip(_OUTPUTS[1:], signature.outputs[1:], strict=True)}
    return {"kind": "boxes", "outputs": roles, "score": 0.0, "most": 1024}


@dataclass(frozen=True)
class Made:
    """The model, its tensors, and how it is joined: its inputs by where they come from, and the next stage's."""

    model: bytes
    signature: Signature
    bindings: Mapping[str, str]
    into: Mapping[str, str]


@dataclass(frozen=True)
class Original:
    """The picture as it was handed in, and where it lies in the detector's input.

    `pixels` is UINT8 [1, height, width, 3] of red, green and blue; `place` FP64 [1, 8]: the picture's height and width,
    those of the input, the scale and the offset of each.
    """

    pixels: Tensor
    place: Tensor


def made(name: str, crop: Crop, of: Neighbour, into: Neighbour, original: Original | None = None) -> Made:
    """The stage `name` between two others; it cuts out of the original where it is given, else of the detector's input.

    Raises ValueError with one sentence: what of them cannot be cut out.
    """
    first, then, target = of.meaning.preprocess, of.meaning.decode, into.meaning.preprocess
    picture, taken = of.taken, into.taken
    if then is None:
        raise ValueError(f"stage {of.name} does not declare its `decode`, so it is unknown where its objects are")
    if first is None or target is None or target.size is None or target.resize not in ("stretch", "none"):
        raise ValueError(f"crops are stretched: `preprocess` of stage {into.name} needs `resize: stretch` and a size")
    roles = {role: tensor_of(then, role, tuple(t.name for t in of.signature.outputs)) for role in _roles(then)}
    outputs = {role: one for role, tensor in roles.items() for one in of.signature.outputs if one.name == tensor}
    graph, alone = Operators(), batched(then, of.signature)
    size = _size(picture, first)
    raw = Raw({role: _row(graph, one.name) if alone else one.name for role, one in outputs.items()},
              {role: (one.shape or ())[int(alone):] for role, one in outputs.items()}, size)  # fmt: skip
    objects = found(graph, raw, replace(then, most=min(then.most, crop.most)))
    sources = (original.pixels, original.place) if original else (picture,)
    inputs = (*map(_one, sources), *(_one(one) if alone else one for one in outputs.values()))
    crops, boxes, scores, classes = names = _untaken({one.name for one in inputs})
    edges = graph.constant([*size[::-1]] * 2)
    if original:
        objects, edges = _in_original(graph, objects, original.place.name)
    _named(graph, objects, edges, names)
    specs = _AS_IT_IS if original else first, target
    _cut(graph, sources[0], (boxes, crops), specs, crop.margin, edges, taken.dtype)
    rows = (
        Tensor(crops, taken.dtype, (CROPS, *_sides(target))), Tensor(boxes, "FP32", (_ROWS, 4)),
        Tensor(scores, "FP32", (_ROWS,)), Tensor(classes, "INT64", (_ROWS,)),
    )  # fmt: skip
    model = graph.model(inputs, rows, {"producer": "tritonpm crop"})
    bindings = {one.name: f"{of.name}.{one.name}" for one in outputs.values()}
    return Made(model, Signature(inputs, rows, of.meaning.labels), bindings, {taken.name: f"{name}.{crops}"})


def _untaken(taken: set[str]) -> tuple[str, ...]:
    """The outputs' names, lengthened where an input has one: a graph has one tensor of a name."""
    names = list(_OUTPUTS)
    while taken.intersection(names):
        names = [f"{name}_" if name in taken else name for name in names]
    return tuple(names)


def _roles(then: Decode) -> tuple[str, ...]:
    return tuple(role.rstrip("?") for role in ROLES[then.kind] if role.rstrip("?") not in ("masks", "keypoints"))


def _one(tensor: Tensor) -> Tensor:
    """Of one picture. Raises ValueError: a shape that nobody knows."""
    if not tensor.shape:
        raise ValueError(f"the shape of {tensor.name!r} is unknown")
    return Tensor(tensor.name, tensor.dtype, (1, *tensor.shape[1:]))


def _row(graph: Operators, name: str) -> str:
    return graph.add("Squeeze", name, graph.whole(0))


def _size(picture: Tensor, first: Preprocess) -> tuple[int, int]:
    """(height, width) of the detector's input. Raises ValueError where it is of any size, or has no batch axis."""
    shape = picture.shape or ()
    if len(shape) == 4 and first.layout[0] == "N":
        height, width = shape[2:] if first.layout == "NCHW" else shape[1:3]
        known = first.size or (height, width)
        tall, wide = (own if isinstance(own, int) else said for own, said in zip((height, width), known, strict=True))
        if isinstance(tall, int) and isinstance(wide, int):
            return tall, wide
    raise ValueError(f"the detector's input {picture.name!r} needs a batch axis, and a size or `preprocess.size`")


def _sides(target: Preprocess) -> Shape:
    assert target.size is not None  # noqa: S101 (`made` has seen to it)
    return (target.channels, *target.size) if target.layout == "NCHW" else (*target.size, target.channels)


def _in_original(graph: Operators, objects: tuple[str, str, str], place: str) -> tuple[tuple[str, str, str], str]:
    """The objects with their corners in the picture's pixels; and its edges: its width, height, width, height."""
    row = graph.add("Cast", graph.add("Squeeze", place, graph.whole(0)), dtype="FP32")
    edges, scale, offset = (graph.add("Gather", row, graph.whole(*[n + 1, n] * 2)) for n in (0, 4, 6))
    corners = graph.add("Div", graph.add("Sub", objects[0], offset), scale)
    return (corners, *objects[1:]), edges


def _named(graph: Operators, objects: tuple[str, str, str], edges: str, names: tuple[str, ...]) -> None:
    """The boxes, cut at the picture's edges, and what is known of them."""
    corners, scores, classes = objects
    low = graph.add("Max", corners, graph.constant(0.0))
    graph.add("Min", low, edges, to=names[1])
    graph.add("Cast", scores, dtype="FP32", to=names[2])
    graph.add("Cast", classes, dtype="INT64", to=names[3])


def _cut(
    graph: Operators, picture: Tensor, names: tuple[str, str], specs: tuple[Preprocess, Preprocess], margin: float,
    edges: str, dtype: str,
) -> None:  # fmt: skip
    """The crops, of the grown boxes, as the next stage takes them; at least one."""
    (boxes, crops), (first, target) = names, specs
    assert target.size is not None  # noqa: S101
    pixels = picture.name
    if picture.dtype != "FP32":
        pixels = graph.add("Cast", pixels, dtype="FP32")
    if first.layout == "NHWC":
        pixels = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])
    first_corner, last_corner = graph.columns(boxes, 0, 2), graph.columns(boxes, 2, 4)
    more = graph.add("Mul", graph.add("Sub", last_corner, first_corner), graph.constant(margin))
    grown = graph.add("Concat", graph.add("Sub", first_corner, more), graph.add("Add", last_corner, more), axis=1)
    grown = graph.add("Min", graph.add("Max", grown, graph.constant(0.0)), edges)
    rows = graph.add("Max", graph.add("Shape", grown, end=1), graph.whole(1))
    blank = graph.constant([[0, 0, 1, 1]])
    regions = graph.add(
        "Slice", graph.add("Concat", grown, blank, axis=0), graph.whole(0), rows, graph.whole(0)
    )  # where there is one box or more, the blank one is cut off
    of = graph.add("Expand", graph.constant(0, np.int64), rows)
    cut = graph.add(
        "RoiAlign", pixels, regions, of, output_height=target.size[0], output_width=target.size[1], sampling_ratio=0,
        coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    kernel, bias = colours(first, target)
    cut = graph.add("Conv", cut, graph.constant(kernel[..., np.newaxis, np.newaxis]), graph.constant(bias))
    if dtype not in ("FP32", "FP16", "FP64", "BF16"):
        low, high = np.iinfo(np.dtype(dtype.lower())).min, np.iinfo(np.dtype(dtype.lower())).max
        cut = graph.add("Clip", graph.add("Round", cut), graph.constant(low), graph.constant(high))
    if target.layout == "NHWC":
        cut = graph.add("Transpose", cut, perm=[0, 2, 3, 1])
    graph.add("Cast", cut, dtype=dtype, to=crops)


def colours(first: Preprocess, target: Preprocess) -> tuple[Array, Array]:
    """(kernel [out, in], bias [out]) that turn a value of one input into that of the other: colours and scale."""
    if first.colour == "GRAY":
        mix = np.ones((target.channels, 1))
    else:
        order = np.eye(3)[:: -1 if first.colour == "BGR" else 1]  # from the first's channels to red, green, blue
        mix = np.asarray(LUMA[np.newaxis] @ order if target.colour == "GRAY" else order)
        mix = mix[::-1] if target.colour == "BGR" else mix
    mean, std = (np.broadcast_to(np.array(one), (first.channels,)) for one in (first.mean, first.std))
    less, by = (np.broadcast_to(np.array(one), (target.channels,)) for one in (target.mean, target.std))
    kernel = mix * (std / first.scale) * (target.scale / by)[:, np.newaxis]
    bias = (mix @ (mean / first.scale) * target.scale - less) / by
    return kernel.astype(np.float32), bias.astype(np.float32)
