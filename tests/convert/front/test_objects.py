"""What outputs hold is read in the server as `meaning.decode` reads it, of several pictures at once."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.graph import LEAST_OPSET, OPSET
from tritonpm.convert.front.objects import READERS
from tritonpm.convert.front.pieces import MODEL, PLACES, objects
from tritonpm.core.tensors import Array, triton_dtype
from tritonpm.core.types import Signature, Tensor
from tritonpm.meaning.decode import decoded
from tritonpm.meaning.geometry import Geometry
from tritonpm.meaning.matching import matched
from tritonpm.meaning.objects import Detection, Segmentation
from tritonpm.meaning.served import found
from tritonpm.meaning.spec import FRONTS, Decode

ASKEW = Geometry((480, 640), (96, 96), (0.15, 0.15), (12, 0)), Geometry((50, 30), (96, 96), (1.92, 3.2), (0, 0))
LETTERBOX = (ASKEW[0], ASKEW[0])
RANDOM = np.random.default_rng(1)


def some(*shape: int, power: float = 1.0) -> Array:
    """Numbers from 0 to 1."""
    return np.asarray(RANDOM.random(shape) ** power, np.float32)


def require_same(
    spec: Decode, answer: dict[str, Array], geometries: tuple[Geometry, ...] = ASKEW, *, opset: int = OPSET
) -> list[int]:
    """The piece reads what the plain decoder reads; how much that is, by picture."""
    several = len(geometries) > 1
    tensors = tuple(
        Tensor(name, triton_dtype(array.dtype), ("batch", *array.shape[1:]) if several else array.shape)
        for name, array in answer.items()
    )
    piece = objects(spec, Signature((), tensors), (), batched=several, opset=opset)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(piece.model, options)
    lies = np.array([[*g.picture, *g.input, *g.scale, *g.offset] for g in geometries])
    known = {PLACES: lies, **{MODEL + name: array for name, array in answer.items()}}
    values = session.run(None, {one.name: known[one.name] for one in session.get_inputs()})
    got = found(dict(zip((o.name for o in session.get_outputs()), values, strict=True)), spec, ())
    want = decoded(answer, spec, (), geometries)
    for one, other in zip(want, got, strict=True):
        assert len(one) == len(other)
        match = matched(one, other)
        assert not match.reason and match.share == 1.0
        for a, b in zip(one, other, strict=True):
            if isinstance(a, Segmentation) and isinstance(b, Segmentation):
                assert np.mean(a.classes != b.classes) < 1e-3
                continue
            assert (a.class_id, a.score) == (b.class_id, pytest.approx(b.score, abs=1e-5))  # type: ignore[union-attr]
            if isinstance(a, Detection) and isinstance(b, Detection):
                assert vars(a.box) == pytest.approx(vars(b.box), abs=1e-3)
    return [len(one) for one in want]


def columns(classes: int = 7, rows: int = 400, power: float = 1.0) -> Array:
    """YOLOv8's: boxes of every place, many of which overlap."""
    return np.concatenate([some(2, 2, rows) * 96, some(2, 2, rows) * 30, some(2, classes, rows, power=power)], axis=1)


@pytest.mark.parametrize("opset", [LEAST_OPSET, OPSET])
@pytest.mark.parametrize(
    "spec",
    [
        Decode("yolov8", most=500),
        Decode("yolov8", most=500, agnostic=True),
        Decode("yolov8", most=5, score=0.9),
        Decode("yolov8", most=1000, score=0.01, iou=0.9),
        Decode("yolov8", most=500, activation="sigmoid", score=0.7),
        Decode("yolov8", score=1.0),  # nothing
    ],
)
def test_yolov8(spec: Decode, opset: int) -> None:
    counts = require_same(spec, {"output0": columns(power=6.0)}, opset=opset)
    assert any(counts) == (spec.score < 1)


def test_yolov8_of_one_class_and_few_boxes() -> None:
    assert all(require_same(Decode("yolov8"), {"output0": columns(classes=1, rows=20)}))


def test_yolov5() -> None:
    rows = np.concatenate([columns()[:, :4], some(2, 8, 400)], axis=1).transpose(0, 2, 1)
    assert all(require_same(Decode("yolov5", most=500), {"output": np.ascontiguousarray(rows)}))


def corners(rows: int = 50) -> Array:
    """Boxes as left, top, right, bottom."""
    return np.sort(some(2, rows, 2, 2) * 96, axis=2).reshape(2, rows, 4)


def classes(*shape: int) -> Array:
    """Whole numbers below 5."""
    return np.floor(some(*shape) * 5)


LISTED: dict[str, tuple[Decode, dict[str, Array]]] = {
    "yolov10": (Decode("yolov10"), {"y": np.concatenate([corners(), some(2, 50, 1), classes(2, 50, 1)], axis=2)}),
    "efficient-nms": (Decode("efficient-nms"), {"count": np.array([[3], [0]], np.int32), "boxes": corners(),
                                               "scores": some(2, 50), "classes": classes(2, 50).astype(np.int32)}),
    "boxes": (Decode("boxes", space="unit", score=0.5), {"boxes": corners() / 96, "scores": some(2, 50),
                                                         "classes": classes(2, 50).astype(np.int64)}),
    "yxyx": (Decode("boxes", boxes="yxyx", space="picture"), {"boxes": corners(), "scores": some(2, 50),
                                                              "classes": classes(2, 50).astype(np.int64)}),
    "scores of classes": (Decode("boxes", score=0.2, activation="softmax", background="first", boxes="cxcywh"),
                          {"boxes": corners(), "scores": some(2, 50, 4) * 6}),
    "detr": (Decode("detr", score=0.3, activation="softmax", background="last"),
             {"boxes": some(2, 50, 4) / 2, "scores": some(2, 50, 4) * 6}),
    "rt-detr": (Decode("detr", score=0.3, activation="sigmoid"),
                {"boxes": some(2, 50, 4) / 2, "scores": some(2, 50, 4) * 6 - 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTED)
def test_lists_of_boxes(name: str) -> None:
    assert any(require_same(*LISTED[name]))


@pytest.mark.parametrize("scored", [True, False])
def test_boxes_of_one_picture_without_a_batch_axis(scored: bool) -> None:
    listed, scores = corners()[0], some(50)
    apart = {"boxes": listed, "scores": scores, "classes": classes(50).astype(np.int64)}
    together = {"boxes": np.concatenate([listed, scores[:, np.newaxis]], axis=1)}
    assert require_same(Decode("boxes", score=0.5), apart if scored else together, ASKEW[:1])[0]


@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
def test_classes(activation: str) -> None:
    logits = {"logits": some(2, 10) * 5}
    require_same(Decode("classification", activation=activation), logits)  # type: ignore[arg-type]
    require_same(Decode("multi-label", activation=activation, score=0.6), logits)  # type: ignore[arg-type]
    require_same(Decode("classification", top_k=50), {"logits": some(2, 3)})


@pytest.mark.parametrize(
    "scores",
    [
        some(2, 5, 24, 24),
        some(2, 1, 24, 24),
        classes(2, 24, 24).astype(np.int64),
        classes(2, 1, 24, 24).astype(np.uint8),
    ],
)
def test_segmentation(scores: Array) -> None:
    require_same(Decode("semantic-segmentation"), {"scores": scores}, LETTERBOX)
    require_same(Decode("semantic-segmentation", activation="sigmoid"), {"scores": scores}, LETTERBOX)


def test_what_has_no_front_says_so() -> None:
    assert READERS.keys() == FRONTS
    signature = Signature((), (Tensor("map", "FP32", ("batch", 1, 8, 8)),))
    with pytest.raises(ConversionError, match="there is no front for anomaly-map yet"):
        objects(Decode("anomaly-map"), signature, (), batched=True)
