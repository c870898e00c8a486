"""What is said of a picture as a whole, in ONNX operators over a whole batch: classes, text, a vector, numbers."""

from __future__ import annotations

import numpy as np

from tritonpm.convert.front.about import (
    NOTHING,
    FrontAbout,
    FrontOutput,
    Outputs,
    activated,
    at_most,
    how_many,
    least_above,
    output,
    where,
)

_UNKNOWN = "\ufffd"  # a character that no label names


def classification(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """The likeliest classes, best first."""
    graph, spec = about.graph, about.spec
    scores = activated(graph, graph.op("Flatten", outputs["scores"]), spec.activation, 1)
    most = at_most(about.shape("scores"), spec.top_k)
    best, classes = graph.op("TopK", scores, np.array([most], np.int64), axis=1, results=2)
    return [output(graph.cast(classes, "INT32"), "classes", "INT32", most), output(best, "scores", "FP32", most)]


def multi_label(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Every class that counts, best first."""
    graph, spec = about.graph, about.spec
    scores = activated(graph, graph.op("Flatten", outputs["scores"]), spec.activation, 1)
    most = at_most(about.shape("scores"), spec.most)
    best, classes = graph.op("TopK", scores, np.array([most], np.int64), axis=1, results=2)
    counts = graph.op("Greater", best, least_above(spec.score))
    return [
        output(where(graph, counts, graph.cast(classes, "INT32"), np.int32(NOTHING)), "classes", "INT32", most),
        output(where(graph, counts, best, np.float32(0)), "scores", "FP32", most),
        output(how_many(graph, counts), "count", "INT32", 1),
    ]


def ocr_recognition(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """The characters of each text [n, steps], the first `count` of them, and one score.

    The likeliest of each step, repetitions and blanks left out. ONNX joins no texts: who asks puts them together.
    """
    graph, spec = about.graph, about.spec
    scores = activated(graph, outputs["scores"], spec.activation, 2)
    steps, kinds = graph.shape(scores, 1, 2), graph.without_axes(graph.shape(scores, 2, 3), 0)
    likeliest, certain = graph.op("ArgMax", scores, axis=2, keepdims=0), graph.largest(scores, 2)
    blank = np.int64(0) if spec.blank == "first" else graph.op("Sub", kinds, np.int64(1))
    last = graph.cut(graph.op("Pad", likeliest, np.array([0, 1, 0, 0]), np.int64(-1), mode="constant"), 1, 0, -1)
    repeated = graph.op("Or", graph.op("Equal", likeliest, last), graph.op("Equal", likeliest, blank))
    kept = graph.cast(graph.op("Not", repeated), "FP32")
    place = graph.op("Mul", kept, graph.cast(graph.op("Sub", steps, graph.counted(steps)), "FP32"))
    place, order = graph.op("TopK", place, steps, axis=1, results=2)  # the earlier, the further in front
    there = graph.op("Greater", place, np.float32(0))
    named = [*about.labels, *([" "] if spec.space_character else []), _UNKNOWN, ""]
    index = graph.op("GatherElements", likeliest, order, axis=1)
    index = graph.op("Sub", index, np.int64(1)) if spec.blank == "first" else index
    index = where(graph, there, graph.op("Min", index, np.int64(len(named) - 2)), np.int64(len(named) - 1))
    count = how_many(graph, there)
    total = graph.op("ReduceSum", graph.op("Mul", kept, certain), np.array([1], np.int64), keepdims=1)
    mean = graph.op("Div", total, graph.op("Max", graph.cast(count, "FP32"), np.float32(1)))
    return [
        output(graph.op("Gather", np.array(named, np.object_), index), "characters", "BYTES", "steps"),
        output(mean, "scores", "FP32", 1),
        output(count, "count", "INT32", 1),
    ]


def embedding(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """The vector as it is."""
    return [_flat(outputs, about, "vector")]


def regression(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """The values as they are."""
    return [_flat(outputs, about, "values")]


def _flat(outputs: Outputs, about: FrontAbout, role: str) -> FrontOutput:
    sizes = about.shape(role)[1:]
    known = [size for size in sizes if isinstance(size, int)]
    size = int(np.prod(known)) if len(known) == len(sizes) else role
    return output(about.graph.cast(about.graph.op("Flatten", outputs[role]), "FP32"), role, "FP32", size)
