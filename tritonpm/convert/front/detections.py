"""Detectors' outputs in ONNX operators over a whole batch: the YOLO heads, lists of boxes, queries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.about import FrontAbout, FrontOutput, Outputs, activated, least_above, output, where
from tritonpm.convert.front.graph import Graph
from tritonpm.convert.front.masks import mixed, of_boxes, of_input, with_pixels
from tritonpm.convert.front.rows import Best, Candidates, best, corners_of
from tritonpm.meaning.spec import OF_PIXELS


def yolov5(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Rows of box, objectness, scores of the classes, and mask coefficients where there are prototypes."""
    graph, rows = about.graph, outputs["predictions"]
    more = about.size("prototypes", 1) if "prototypes" in outputs else 0
    scores = graph.op("Mul", graph.cut(rows, 2, 5, -more or None), graph.cut(rows, 2, 4, 5))
    scores = graph.op("Transpose", scores, perm=[0, 2, 1])
    kept = best(_suppressed(graph.cut(rows, 2, 0, 4), scores, about, 1), about)
    return _masked(kept, graph.cut(rows, 2, -more) if more else "", outputs, about)


def yolov8(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Columns of box, scores of the classes, then mask coefficients or keypoints."""
    graph, columns, keypoints = about.graph, outputs["predictions"], about.spec.keypoints
    more = about.size("prototypes", 1) if "prototypes" in outputs else 0
    if about.spec.kind == "yolov8-pose" and keypoints:
        more = keypoints[0] * keypoints[1]
    boxes = graph.op("Transpose", graph.cut(columns, 1, 0, 4), perm=[0, 2, 1])
    kept = best(_suppressed(boxes, graph.cut(columns, 1, 4, -more or None), about, 2), about)
    rest = graph.op("Transpose", graph.cut(columns, 1, -more), perm=[0, 2, 1]) if more else ""
    if about.spec.kind == "yolov8-pose":
        return [*kept.outputs(about), *(_keypoints(kept, rest, about, *keypoints) if keypoints else [])]
    return _masked(kept, rest, outputs, about)


def yolov10(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Rows of corners, score, class, then mask coefficients or keypoints, each object once."""
    graph, rows, keypoints = about.graph, outputs["predictions"], about.spec.keypoints
    kept = best(end_to_end(rows, about), about)
    more = graph.cut(rows, 2, 6) if about.spec.kind != "yolov10" else ""
    if about.spec.kind == "yolov10-pose":
        return [*kept.outputs(about), *(_keypoints(kept, more, about, *keypoints) if keypoints else [])]
    return _masked(kept, more, outputs, about)


def end_to_end(rows: str, about: FrontAbout) -> Candidates:
    """The boxes of v10 as they are."""
    graph = about.graph
    scores, classes = (graph.without_axes(graph.cut(rows, 2, n, n + 1), 2) for n in (4, 5))
    return _listed(graph.cut(rows, 2, 0, 4), scores, classes, about)


def efficient_nms(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """As many rows as it counts; the rest is filled up."""
    graph = about.graph
    count = graph.op("Reshape", outputs["count"], np.array([-1, 1], np.int64))
    scores = graph.op("Flatten", outputs["scores"])
    there = graph.op("Less", graph.counted(graph.shape(scores, 1, 2)), graph.cast(count, "INT64"))
    scores = where(graph, there, scores, np.float32(-1))
    classes = graph.op("Flatten", outputs["classes"])
    return best(_listed(outputs["boxes"], scores, classes, about, "boxes"), about).outputs(about)


def boxes(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Boxes [n, 4], or [n, 5] with the score last; scores [n], or of each class; masks and keypoints of each."""
    graph, spec, listed = about.graph, about.spec, outputs["boxes"]
    of_classes = "scores" in outputs and len(about.shape("scores")) == 3
    scores = outputs["scores"] if "scores" in outputs else graph.without_axes(graph.cut(listed, 2, 4, 5), 2)
    if of_classes:
        scores = _without_background(graph, activated(graph, scores, spec.activation, 2), spec.background)
    classes = outputs.get("classes", "")
    if not classes and of_classes:
        classes = graph.op("ArgMax", scores, axis=2, keepdims=0)
    scores = graph.largest(scores, 2) if of_classes else scores
    classes = classes or graph.op("Mul", scores, np.zeros((), np.float32))
    kept = best(_listed(graph.cut(listed, 2, 0, 4), scores, classes, about, "boxes"), about)
    more = []
    if "keypoints" in outputs:
        points = about.size("keypoints", 2), about.size("keypoints", 3)
        flat = graph.op("Reshape", outputs["keypoints"], np.array([0, 0, points[0] * points[1]], np.int64))
        more += _keypoints(kept, flat, about, *points, cut=False)
    if "masks" in outputs:
        masks = outputs["masks"] if len(about.shape("masks")) == 4 else graph.without_axes(outputs["masks"], 2)
        found, threshold = kept.found(about), np.float32(spec.threshold)
        own = graph.cast(found.of(about, masks), "FP32")
        more.append((of_input if spec.masks == "input" else of_boxes)(own, found, about, threshold))
    return [*kept.outputs(about), *more]


def ssd(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Rows of picture, class, score and corners, those of all pictures in one list."""
    graph, shape = about.graph, about.shape("predictions")
    if shape[0] != 1:
        what = f"output {about.tensors['predictions'].name!r} has the objects of all pictures in one list"
        raise ConversionError(what, do="export the model for one picture, or `--serve tensors`")
    rows = graph.op("Reshape", outputs["predictions"], np.array([1, -1, 7], np.int64))
    picture, classes, scores = (graph.without_axes(graph.cut(rows, 2, n, n + 1), 2) for n in range(3))
    scores = where(graph, graph.op("Equal", graph.cast(picture, "INT64"), np.int64(0)), scores, np.float32(-1))
    made = _listed(graph.cut(rows, 2, 3), scores, classes, about)
    count = shape[-2] if len(shape) > 2 else shape[0]
    return best(Candidates(made.boxes, made.scores, made.classes, count, made.form, made.space), about).outputs(about)


def detr(outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """Queries, each an object; with a sigmoid a query may be several."""
    graph, spec, query = about.graph, about.spec, ""
    scores, listed = activated(graph, outputs["scores"], spec.activation, 2), outputs["boxes"]
    scores = _without_background(graph, scores, spec.background)
    if spec.activation != "sigmoid":
        classes = graph.op("ArgMax", scores, axis=2, keepdims=0)
        scores = graph.largest(scores, 2)
    else:
        queries, count = graph.shape(scores, 1, 2), graph.shape(scores, 2, 3)
        most = graph.op("Min", queries, np.array([spec.most], np.int64))
        scores, index = graph.op("TopK", graph.op("Flatten", scores), most, axis=1, results=2)
        query, classes = graph.op("Div", index, count), graph.op("Mod", index, count)
        listed = graph.op("GatherND", listed, graph.with_axes(query, 2), batch_dims=1)
    made = Candidates(listed, scores, graph.cast(classes, "INT32"), about.shape("boxes")[1], "cxcywh", "unit")
    kept = best(made, about)
    if "masks" not in outputs:
        return kept.outputs(about)
    found = kept.found(about)
    own = graph.op("GatherElements", query, found.index, axis=1) if query else found.index
    masks = graph.op("GatherND", graph.cast(outputs["masks"], "FP32"), graph.with_axes(own, 2), batch_dims=1)
    return [*kept.outputs(about), of_input(masks, found, about, _level(about))]


def _listed(listed: str, scores: str, classes: str, about: FrontAbout, role: str = "predictions") -> Candidates:
    """A list of boxes as it is, in the form that the package says."""
    spec = about.spec
    return Candidates(listed, scores, about.graph.cast(classes, "INT32"), about.shape(role)[1], spec.boxes, spec.space)


def _without_background(graph: Graph, scores: str, which: str) -> str:
    """The scores [n, boxes, classes] with -1 for what is none."""
    if which == "none":
        return scores
    classes = graph.shape(scores, 2, 3)
    none = np.int64(0) if which == "first" else graph.op("Sub", graph.without_axes(classes, 0), np.int64(1))
    return where(graph, graph.op("Equal", graph.counted(classes), none), np.float32(-1), scores)


def _suppressed(boxes: str, scores: str, about: FrontAbout, axis: int) -> Candidates:
    """Boxes [n, m, 4] as centre and size, scores [n, classes, m]: of those of a class that overlap the best.

    `axis` is the one of m in the model's own output.
    """
    graph, spec = about.graph, about.spec
    boxes = corners_of(graph, graph.cast(boxes, "FP32"), "cxcywh")
    scores = activated(graph, scores, spec.activation, 1)
    classes, highest = graph.op("ArgMax", scores, axis=1, keepdims=0), graph.largest(scores, 1)
    rivals = graph.with_axes(highest, 1)
    if not spec.agnostic:  # each box stands among those of its own class only
        numbers = graph.with_axes(graph.counted(graph.shape(scores, 1, 2)), 1)
        own = graph.op("Equal", graph.with_axes(classes, 1), numbers)
        rivals = where(graph, own, rivals, np.float32(-1))
    kept = graph.op(
        "NonMaxSuppression", boxes, rivals, np.array([spec.most], np.int64), np.array([spec.iou], np.float32),
        np.array([least_above(spec.score)], np.float32),
    )  # fmt: skip
    places = graph.op("Gather", kept, np.array([0, 2], np.int64), axis=1)  # (picture, class, box)
    nothing = graph.op("Expand", np.array([-1], np.float32), graph.op("Shape", highest))
    scores = graph.op("ScatterND", nothing, places, graph.op("GatherND", highest, places))
    rows = about.shape("predictions")[axis]
    return Candidates(boxes, scores, graph.cast(classes, "INT32"), rows, "xyxy", "input")


def _keypoints(
    kept: Best, flat: str, about: FrontAbout, count: int, values: int, *, cut: bool = True
) -> list[FrontOutput]:
    """Keypoints [n, m, count · values] of the input, in the picture; `cut` at its edges."""
    graph, most = about.graph, about.spec.most
    points = graph.cast(kept.of(about, flat), "FP32")
    points = graph.op("Reshape", points, np.array([0, most * count, values], np.int64))
    placed = about.to_picture(graph.cut(points, 2, 0, 2), times=1)
    if cut:
        placed = graph.op("Max", graph.op("Min", placed, about.pair(0, times=1)), np.float32(0))
    points = graph.op("Concat", placed, graph.cut(points, 2, 2), axis=2) if values > 2 else placed
    points = graph.op("Reshape", points, np.array([0, most, count, values], np.int64))
    points = where(graph, graph.with_axes(kept.there, 2, 3), points, np.float32(0))
    return [output(points, "keypoints", "FP32", most, count, values)]


def _masked(kept: Best, coefficients: str, outputs: Outputs, about: FrontAbout) -> list[FrontOutput]:
    """The rows and each object's mask: a mix of the prototypes, within its box."""
    if not coefficients:
        return kept.outputs(about)
    found = kept.found(about)
    own = mixed(about.graph.cast(found.of(about, coefficients), "FP32"), outputs["prototypes"], about)
    masks = of_input(own, found, about, _level(about), within=found.corners)
    if about.spec.kind not in OF_PIXELS:
        return [*kept.outputs(about), masks]
    kept, tensor = with_pixels(kept, masks.tensor, about)
    return [*kept.outputs(about), replace(masks, tensor=tensor)]


def _level(about: FrontAbout) -> np.float32:
    """The logit of a pixel that belongs."""
    threshold = about.spec.threshold
    return np.float32(np.log(threshold / (1 - threshold)) if 0 < threshold < 1 else 0.0)
