"""The best of a picture's boxes, in the picture: what every detector's reader ends with.

Every answer has one shape, whatever was found: `most` rows a picture, best first, the rest filled up with class -1 and
score 0; `count` says how many are there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tritonpm.convert.front.about import NOTHING, FrontAbout, FrontOutput, how_many, least_above, output, where
from tritonpm.convert.front.graph import Graph
from tritonpm.core.types import Dim


@dataclass(frozen=True)
class Candidates:
    """What a model's boxes are: FP32 [n, m, 4], scores [n, m], classes INT32 [n, m]; `rows` is m."""

    boxes: str
    scores: str
    classes: str
    rows: Dim
    form: str
    space: str


@dataclass(frozen=True)
class Best:
    """`most` rows a picture. `index` INT64 [n, most] is which of the model's boxes each is; `there`: whether it is one.

    Corners are in the picture's pixels; `whole` as they are, `corners` cut at its edges.
    """

    corners: str
    whole: str
    scores: str
    classes: str
    index: str
    there: str

    def outputs(self, about: FrontAbout) -> list[FrontOutput]:
        """The rows for clients."""
        graph, most = about.graph, about.spec.most
        boxes = where(graph, graph.with_axes(self.there, 2), self.corners, np.float32(0))
        return [
            output(boxes, "boxes", "FP32", most, 4),
            output(where(graph, self.there, self.scores, np.float32(0)), "scores", "FP32", most),
            output(where(graph, self.there, self.classes, np.int32(NOTHING)), "classes", "INT32", most),
            output(how_many(graph, self.there), "count", "INT32", 1),
        ]

    def of(self, about: FrontAbout, values: str) -> str:
        """What a tensor [n, m, …] of the model has for each row."""
        return taken(about.graph, values, self.index)

    def found(self, about: FrontAbout) -> Best:
        """Only as many rows as some picture of the request has objects, at least one: for what is large."""
        graph = about.graph
        count = graph.op("ReduceMax", how_many(graph, self.there), keepdims=0)
        end = graph.with_axes(graph.op("Max", graph.cast(count, "INT64"), np.int64(1)), 0)

        def cut(tensor: str) -> str:
            return str(graph.op("Slice", tensor, np.zeros(1, np.int64), end, np.ones(1, np.int64)))

        return Best(*(cut(getattr(self, name)) for name in self.__dataclass_fields__))


def best(made: Candidates, about: FrontAbout, *, cut: bool = True) -> Best:
    """The best rows whose score counts, but for those that lie outside of the picture."""
    graph, spec = about.graph, about.spec
    scores = graph.cast(made.scores, "FP32")
    scores = where(graph, graph.op("Greater", scores, least_above(spec.score)), scores, np.float32(-1))
    made = replace(made, boxes=graph.cast(made.boxes, "FP32"), scores=scores)
    last = graph.op("Sub", graph.shape(scores, 1, 2), np.int64(1))  # what is filled up has no row of its own
    if not isinstance(made.rows, int) or made.rows < spec.most:
        made = replace(
            made,
            boxes=_filled_up(graph, made.boxes, np.float32(0), spec.most, 2),
            scores=_filled_up(graph, made.scores, np.float32(-1), spec.most, 1),
            classes=_filled_up(graph, made.classes, np.int32(NOTHING), spec.most, 1),
        )
    scores, index = _top(graph, made.scores, spec.most)
    whole = _in_picture(corners_of(graph, taken(graph, made.boxes, index), made.form), about, made.space)
    corners = graph.op("Max", graph.op("Min", whole, about.pair(0)), np.float32(0)) if cut else whole
    sides = graph.op("Sub", graph.cut(corners, 2, 2, 4), graph.cut(corners, 2, 0, 2))
    seen = graph.op("Greater", graph.least(sides, 2), np.float32(0))
    scores, order = _top(graph, where(graph, seen, scores, np.float32(-1)), spec.most)
    index = graph.op("GatherElements", index, order, axis=1)
    return Best(
        corners=taken(graph, corners, order),
        whole=taken(graph, whole, order),
        scores=scores,
        classes=graph.op("GatherElements", made.classes, index, axis=1),
        index=graph.op("Min", index, last),
        there=graph.op("GreaterOrEqual", scores, np.float32(0)),
    )


def taken(graph: Graph, values: str, index: str) -> str:
    """The rows [n, k, …] of [n, m, …] that an index [n, k] names."""
    return str(graph.op("GatherND", values, graph.with_axes(index, 2), batch_dims=1))


def corners_of(graph: Graph, boxes: str, form: str) -> str:
    """Boxes [n, m, 4] of one form as left, top, right, bottom."""
    if form == "xyxy":
        return boxes
    if form == "yxyx":
        return str(graph.op("Gather", boxes, np.array([1, 0, 3, 2], np.int64), axis=2))
    first, size = graph.cut(boxes, 2, 0, 2), graph.cut(boxes, 2, 2, 4)
    if form == "cxcywh":
        first = graph.op("Sub", first, graph.op("Mul", size, np.float32(0.5)))
    return str(graph.op("Concat", first, graph.op("Add", first, size), axis=2))


def _top(graph: Graph, scores: str, most: int) -> tuple[str, str]:
    best, index = graph.op("TopK", scores, np.array([most], np.int64), axis=1, results=2)
    return best, index


def _filled_up(graph: Graph, rows: str, value: np.generic, more: int, axes: int) -> str:
    """With further rows at the end, of one value."""
    pads = [0, 0, 0, more] if axes == 1 else [0, 0, 0, 0, more, 0]
    return str(graph.op("Pad", rows, np.array(pads, np.int64), value, mode="constant"))


def _in_picture(corners: str, about: FrontAbout, space: str) -> str:
    if space == "picture":
        return corners
    if space == "unit":
        corners = about.graph.op("Mul", corners, about.pair(2))
    return about.to_picture(corners, times=2)
