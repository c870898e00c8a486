"""What outputs hold is read in the server as `meaning.decode` reads it, of several pictures at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.graph import LEAST_OPSET, OPSET
from tritonpm.convert.front.objects import READERS
from tritonpm.convert.front.pieces import MODEL, PLACES, objects
from tritonpm.core.tensors import Array, triton_dtype
from tritonpm.core.types import Signature, Tensor
from tritonpm.meaning.decode import decoded
from tritonpm.meaning.geometry import Geometry
from tritonpm.meaning.matching import matched
from tritonpm.meaning.objects import Anomaly, Detection, Object, Segmentation
from tritonpm.meaning.served import found
from tritonpm.meaning.spec import ROLES, Decode

ASKEW = Geometry((480, 640), (96, 96), (0.15, 0.15), (12, 0)), Geometry((50, 30), (96, 96), (1.92, 3.2), (0, 0))
LETTERBOX = (ASKEW[0], ASKEW[0])
RANDOM = np.random.default_rng(1)


def some(*shape: int, power: float = 1.0) -> Array:
    """Numbers from 0 to 1."""
    return np.asarray(RANDOM.random(shape) ** power, np.float32)


def require_same(
    spec: Decode, answer: dict[str, Array], geometries: tuple[Geometry, ...] = ASKEW, *,
    opset: int = OPSET, labels: tuple[str, ...] = (), most_apart: float = 1e-3,
) -> list[int]:  # fmt: skip
    """The piece reads what the plain decoder reads; how much that is, by picture."""
    several = len(geometries) > 1
    tensors = tuple(
        Tensor(name, triton_dtype(array.dtype), ("batch", *array.shape[1:]) if several else array.shape)
        for name, array in answer.items()
    )
    piece = objects(spec, Signature((), tensors), labels, batched=several, opset=opset)
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = ort.InferenceSession(piece.model, options)
    lies = np.array([[*g.picture, *g.input, *g.scale, *g.offset] for g in geometries])
    known = {PLACES: lies, **{MODEL + name: array for name, array in answer.items()}}
    values = session.run(None, {one.name: known[one.name] for one in session.get_inputs()})
    got = found(dict(zip((o.name for o in session.get_outputs()), values, strict=True)), spec, labels)
    want = decoded(answer, spec, labels, geometries)
    for one, other in zip(want, got, strict=True):
        assert len(one) == len(other)
        match = matched(one, other)
        assert not match.reason and match.share == 1.0
        for a, b in zip(one, other, strict=True):
            require_alike(a, b, most_apart)
    return [len(one) for one in want]


def require_alike(a: Object, b: Object, most_apart: float) -> None:
    assert type(a) is type(b)
    if isinstance(a, Segmentation) and isinstance(b, Segmentation):
        assert np.mean(a.classes != b.classes) < 1e-3
    elif isinstance(a, Anomaly) and isinstance(b, Anomaly):
        assert (a.anomalous, a.score) == (b.anomalous, pytest.approx(b.score, abs=1e-5))
        assert a.map is b.map is None or np.allclose(a.map, b.map, atol=1e-5)  # type: ignore[arg-type]
    elif isinstance(a, Detection) and isinstance(b, Detection):
        assert (a.class_id, a.name, a.score) == (b.class_id, b.name, pytest.approx(b.score, abs=1e-5))
        assert vars(a.box) == pytest.approx(vars(b.box), abs=most_apart)
        assert np.allclose(np.array(a.keypoints), np.array(b.keypoints), atol=most_apart)
        assert len(a.polygon) == len(b.polygon) and np.allclose(a.polygon, b.polygon, atol=most_apart)
        assert (a.angle is None) == (b.angle is None) and (a.angle or 0.0) == pytest.approx(b.angle or 0.0)
        if a.mask is not None and b.mask is not None:
            assert a.mask.shape == b.mask.shape and np.mean(a.mask != b.mask) < 1e-3
        else:
            assert a.mask is b.mask is None
    else:
        for name, value in vars(a).items():
            assert value == (vars(b)[name] if isinstance(value, str) else pytest.approx(vars(b)[name], abs=1e-5))


def columns(classes: int = 7, rows: int = 400, power: float = 1.0) -> Array:
    """YOLOv8's: boxes of every place, many of which overlap."""
    return np.concatenate([some(2, 2, rows) * 96, some(2, 2, rows) * 30, some(2, classes, rows, power=power)], axis=1)


@pytest.mark.parametrize("opset", [pytest.param(LEAST_OPSET, marks=pytest.mark.long), OPSET])
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


def end_to_end() -> Array:
    """Rows of corners, score and class."""
    return np.concatenate([corners(), some(2, 50, 1), classes(2, 50, 1)], axis=2)


LISTED: dict[str, tuple[Decode, dict[str, Array]]] = {
    "yolov10": (Decode("yolov10"), {"y": end_to_end()}),
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


DEPTH = 8


def prototypes() -> Array:
    return some(2, DEPTH, 24, 24) - np.float32(0.5)


@pytest.mark.parametrize("opset", [pytest.param(LEAST_OPSET, marks=pytest.mark.long), OPSET])
@pytest.mark.parametrize("score", [0.25, 0.9, 1.0])
@pytest.mark.parametrize("kind", ["yolov5-segment", "yolov8-segment"])
def test_masks_of_prototypes(kind: str, score: float, opset: int) -> None:
    """Of none, one and many objects: as many masks as the fullest picture has objects."""
    made = np.concatenate([columns(3, 60, power=6.0), some(2, DEPTH, 60) - np.float32(0.5)], axis=1)
    if kind == "yolov5-segment":
        made = np.concatenate([made[:, :4], 1 + 0 * made[:, :1], made[:, 4:]], axis=1).transpose(0, 2, 1)
    spec = Decode(kind, score=score, outputs={"predictions": "p", "prototypes": "q"})  # type: ignore[arg-type]
    counts = require_same(spec, {"p": np.ascontiguousarray(made), "q": prototypes()}, LETTERBOX, opset=opset)
    assert any(counts) == (score < 1)


@pytest.mark.parametrize("values", [2, 3])
def test_keypoints(values: int) -> None:
    made = np.concatenate([columns(1), some(2, 5 * values, 400) * 96], axis=1)
    assert all(require_same(Decode("yolov8-pose", keypoints=(5, values), most=7), {"output0": made}))
    assert all(require_same(Decode("yolov8-pose", keypoints=(5, values), most=500), {"output0": made}))
    rows = np.concatenate([end_to_end(), some(2, 50, 5 * values) * 96], axis=2)
    assert all(require_same(Decode("yolov10-pose", keypoints=(5, values), most=70), {"output0": rows}))


@pytest.mark.parametrize("opset", [pytest.param(LEAST_OPSET, marks=pytest.mark.long), OPSET])
@pytest.mark.parametrize(
    "spec",
    [
        Decode("yolov8-obb", most=500),
        Decode("yolov8-obb", most=500, agnostic=True, iou=0.2),
        Decode("yolov8-obb", most=5, activation="sigmoid"),
        Decode("yolov8-obb", score=1.0),
    ],
)
def test_turned_boxes(spec: Decode, opset: int) -> None:
    made = np.concatenate([columns(power=2.0), some(2, 1, 400) * 3 - 1], axis=1)
    assert any(require_same(spec, {"output0": made}, opset=opset)) == (spec.score < 1)


def test_turned_boxes_end_to_end() -> None:
    made = np.concatenate([end_to_end(), some(2, 50, 1) * 3 - 1], axis=2)
    assert all(require_same(Decode("yolov10-obb", most=30), {"output0": made}))


def test_masks_end_to_end_and_none_without_a_pixel() -> None:
    made = np.concatenate([end_to_end(), some(2, 50, DEPTH) - np.float32(0.5)], axis=2)
    spec = Decode("yolov10-segment", outputs={"predictions": "p", "prototypes": "q"})
    before = require_same(spec, {"p": made, "q": prototypes()}, LETTERBOX)
    made[:, ::3, 6:] = 0
    assert [
        a > b > 0 for a, b in zip(before, require_same(spec, {"p": made, "q": prototypes()}, LETTERBOX), strict=True)
    ]
    made[1, :, 6:] = 0
    assert require_same(spec, {"p": made, "q": prototypes()}, LETTERBOX)[1] == 0


def test_ssd_of_one_picture() -> None:
    count = 40
    rows = np.concatenate(
        [some(1, count, 1) > 0.2, classes(1, count, 1), some(1, count, 1), corners(count)[:1] / 96], axis=2
    )
    rows[0, :, 0] -= 1  # picture 0, or -1: the rest of the list
    for spec in (Decode("ssd", space="unit"), Decode("ssd", space="unit", most=3), Decode("ssd", score=1.0)):
        counts = require_same(spec, {"y": rows[np.newaxis].astype(np.float32)}, ASKEW[:1])
        assert any(counts) == (spec.score < 1)
    signature = Signature((), (Tensor("y", "FP32", ("batch", 1, count, 7)),))
    with pytest.raises(ConversionError, match="of all pictures in one list"):
        objects(Decode("ssd"), signature, (), batched=True)


MASKED = {
    "input": some(2, 50, 1, 24, 24),
    "box": some(2, 50, 1, 14, 14),
    "flat": some(2, 50, 24, 24),
}


@pytest.mark.parametrize("score", [0.5, 0.999, 2.0])
@pytest.mark.parametrize("masks", MASKED)
def test_lists_with_masks_and_keypoints(masks: str, score: float) -> None:
    spec = Decode("boxes", score=score, masks="box" if masks == "box" else "input")
    answer = {"boxes": corners(), "scores": some(2, 50), "classes": classes(2, 50).astype(np.int64),
              "masks": MASKED[masks], "keypoints": some(2, 50, 4, 3) * 96}  # fmt: skip
    require_same(spec, answer, LETTERBOX)
    one = {name: array[0] for name, array in answer.items()}
    require_same(spec, one, LETTERBOX[:1])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_queries_with_masks(activation: str) -> None:
    spec = Decode("detr", score=0.9, activation=activation, background="last")  # type: ignore[arg-type]
    boxes = np.concatenate([some(2, 50, 2) / 2 + 0.2, some(2, 50, 2) / 3], axis=2)
    answer = {"boxes": boxes, "scores": some(2, 50, 4) * 12 - 6, "masks": some(2, 50, 24, 24) - np.float32(0.5)}
    assert any(require_same(spec, answer, LETTERBOX))


def test_maps_of_what_is_unusual() -> None:
    for spec in (Decode("anomaly-map", score=0.5), Decode("anomaly-map", score=2.0)):
        require_same(spec, {"map": some(2, 1, 24, 24), "score": some(2, 1)}, LETTERBOX)
        require_same(spec, {"map": some(2, 24, 24)}, LETTERBOX)
        require_same(spec, {"score": some(2)}, LETTERBOX)


LETTERS = ("a", "b", "\u00fc", "\u5b57")


@pytest.mark.parametrize("blank", ["first", "last"])
@pytest.mark.parametrize("space", [True, False])
def test_texts(blank: str, space: bool) -> None:
    """Repetitions, blanks, the space, and what no label names."""
    spec = Decode("ocr-recognition", blank=blank, space_character=space, activation="softmax")  # type: ignore[arg-type]
    scores = some(2, 40, 7) * 5
    scores[1] = 0
    scores[1, :, 0 if blank == "first" else 6] = 9  # nothing is written
    require_same(spec, {"scores": scores}, labels=LETTERS)
    require_same(spec, {"scores": np.repeat(scores[0], 3, axis=0)}, ASKEW[:1], labels=LETTERS)


def test_vectors_and_numbers() -> None:
    require_same(Decode("embedding"), {"v": some(2, 16)})
    require_same(Decode("regression"), {"v": some(2, 3, 1).astype(np.float64)})


def written(height: int, width: int, count: int) -> Array:
    """A map as a text detector gives it: lines of all sizes, level and askew, soft at their edges, some over others."""
    page = Image.new("L", (width, height))
    for _ in range(count):
        size = int(RANDOM.integers(16, width // 3)), int(RANDOM.integers(5, 24))
        turn = float(RANDOM.choice([0, 0, 90, RANDOM.uniform(-40, 40)]))
        line = Image.new("L", size, int(RANDOM.integers(100, 255))).rotate(turn, expand=True)
        place = int(RANDOM.integers(0, width)), int(RANDOM.integers(0, height))
        page.paste(line, place, line.point(lambda value: 255 if value else 0))
    return np.asarray(page.filter(ImageFilter.GaussianBlur(1.5)), np.float32)[np.newaxis] / 255


TEXTS = Decode("ocr-detection", threshold=0.3, score=0.5, unclip=1.5, most=100)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (320, 320), (480, 736)])
def test_texts_level_and_askew(height: int, width: int) -> None:
    large = Geometry((2 * height, 2 * width), (height, width), (0.5, 0.5), (3.0, 0.0))
    small = Geometry((50, 30), (height, width), (height / 50, width / 30))
    maps = np.stack([written(height, width, 12), written(height, width, 40)])
    assert all(require_same(TEXTS, {"m": maps}, (large, small)))
    few = require_same(replace(TEXTS, most=3, activation="sigmoid"), {"m": maps * 8 - 4}, (large, small))
    assert 0 < max(few) <= 3


def test_texts_of_a_map_of_noise_and_of_an_empty_one() -> None:
    """Areas that wind through one another, and none at all; and one whose ends are far apart."""
    noise = (some(2, 1, 90, 70) > 0.6).astype(np.float32)
    noise[1] = 0
    many, none = require_same(TEXTS, {"m": noise})
    assert many > 10 and not none
    winding = np.zeros((61, 61), np.float32)
    for ring in range(0, 30, 2):  # a spiral: one area, whose ends are far apart
        winding[ring, max(ring - 2, 0) : 61 - ring] = winding[60 - ring, ring : 61 - ring] = 1
        winding[ring : 61 - ring, 60 - ring] = winding[ring + 2 : 61 - ring, ring] = 1
    assert require_same(TEXTS, {"m": winding[np.newaxis]}, ASKEW[:1]) == [1]


def test_a_text_at_45_degrees_has_one_first_corner() -> None:
    """Two corners are equally near the upper left: which is the first must not hang on the last bit."""
    page = Image.new("L", (55, 55))
    ImageDraw.Draw(page).polygon([(10, 30), (30, 10), (40, 20), (20, 40)], fill=255)
    maps = np.stack([np.asarray(page.transpose(turn), np.float32) / 255 for turn in Image.Transpose])
    assert require_same(TEXTS, {"m": maps}, tuple(Geometry((55, 55), (55, 55), (1.0, 1.0)) for _ in maps)) == [1] * 7


def test_every_kind_has_a_front() -> None:
    assert READERS.keys() == ROLES.keys()
