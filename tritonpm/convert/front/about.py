"""What the readers of a front are told of a model's outputs, and what all of them need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.graph import Graph
from tritonpm.core.types import Dim, Tensor
from tritonpm.meaning.spec import Decode

Outputs = Mapping[str, str]  # role → tensor, with a batch axis
NOTHING = -1  # the class of a row that is filled up
HEIGHT, WIDTH = 0, 1  # of pairs of numbers


@dataclass(frozen=True)
class FrontAbout:
    """What the package says, and where the pictures lie: FP64 [n, 8], as `pictures.prepared` tells it."""

    graph: Graph
    spec: Decode
    geometry: str
    tensors: Mapping[str, Tensor]  # the outputs by role, with a batch axis
    labels: tuple[str, ...] = ()

    def shape(self, role: str) -> tuple[Dim, ...]:
        """Of an output, with the batch axis; a front has seen to it that there is a rank."""
        return self.tensors[role].shape or ()

    def size(self, role: str, axis: int) -> int:
        """Of an output's axis. Raises ConversionError where the model leaves it open."""
        size = self.shape(role)[axis]
        if not isinstance(size, int):
            what = f"output {self.tensors[role].name!r} has a dimension {size!r}, and its size must be known"
            raise ConversionError(what, do="export the model with that size")
        return size

    def number(self, index: int) -> str:
        """One of the geometry's numbers, FP32 [n, 1]."""
        return self.graph.cast(self.graph.cut(self.geometry, 1, index, index + 1), "FP32")

    def pair(self, index: int, *, times: int = 2) -> str:
        """Two of them in the order of x and y, so many times: FP32 [n, 1, 2 · times]."""
        y, x = self.number(index), self.number(index + 1)
        return self.graph.with_axes(self.graph.op("Concat", *[x, y] * times, axis=1), 1)

    def along(self, axis: int) -> tuple[str, str, str, str]:
        """Along one axis the picture's size, the input's, the step and the offset: FP64 [1], as all pictures have."""
        row = self.graph.without_axes(self.graph.cut(self.geometry, 0, 0, 1), 0)
        picture, whole, step, offset = (self.graph.cut(row, 0, n + axis, n + axis + 1) for n in (0, 2, 4, 6))
        return picture, whole, step, offset

    def centres(self, axis: int) -> str:
        """The centres of the pictures' pixels along one axis, FP64."""
        graph, (picture, *_) = self.graph, self.along(axis)
        pixels = graph.cast(graph.counted(graph.cast(picture, "INT64")), "FP64")
        return str(graph.op("Add", pixels, np.float64(0.5)))

    def in_map(self, axis: int, size: str) -> str:
        """Where these centres lie in a map over the input that has so many (FP64 [1]) values along the axis, FP64."""
        graph, (_, whole, step, offset) = self.graph, self.along(axis)
        places = graph.op("Add", graph.op("Mul", self.centres(axis), step), offset)
        return str(graph.op("Div", graph.op("Mul", places, size), whole))

    def to_picture(self, points: str, *, times: int) -> str:
        """Pairs of x and y in the input, [n, m, 2 · times], in the picture's pixels."""
        moved = self.graph.op("Sub", points, self.pair(6, times=times))
        return str(self.graph.op("Div", moved, self.pair(4, times=times)))


@dataclass(frozen=True)
class FrontOutput:
    """An output of the front: its name, its tensor in the graph, and how it is described."""

    tensor: str
    described: Tensor


Reader = Callable[[Outputs, FrontAbout], list[FrontOutput]]


def output(tensor: str, name: str, dtype: str, *sizes: Dim) -> FrontOutput:
    """An output with a batch axis."""
    return FrontOutput(tensor, Tensor(name, dtype, ("batch", *sizes)))


def least_above(threshold: float) -> np.float32:
    """The largest number of FP32 that does not count yet: what is above it is at least `threshold`."""
    near = np.float32(threshold)
    return np.nextafter(near, np.float32(-np.inf)) if float(near) >= threshold else near


def activated(graph: Graph, scores: str, activation: str, axis: int) -> str:
    """Scores along an axis as probabilities, FP32."""
    scores = graph.cast(scores, "FP32")
    if activation == "sigmoid":
        return str(graph.op("Sigmoid", scores))
    return str(graph.op("Softmax", scores, axis=axis)) if activation == "softmax" else scores


def where(graph: Graph, condition: str, one: str | np.generic, other: str | np.generic) -> str:
    """One where the condition holds, else the other."""
    return str(graph.op("Where", condition, one, other))


def how_many(graph: Graph, condition: str) -> str:
    """For how many of a picture's rows it holds, INT32 [n, 1]."""
    return str(graph.op("ReduceSum", graph.cast(condition, "INT32"), np.array([1], np.int64), keepdims=1))


def at_most(shape: Sequence[Dim], most: int) -> int:
    """How many of `most` a row of that shape has at all."""
    whole = 1
    for size in shape[1:]:
        if not isinstance(size, int):
            return most
        whole *= size
    return min(most, whole)
