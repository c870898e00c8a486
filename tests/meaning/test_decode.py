"""Each decoder gives the objects that a hand-made answer holds, in the picture's own pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode import DECODERS, decoded
from tritonpm.meaning.geometry import Geometry, identity
from tritonpm.meaning.objects import (
    Anomaly,
    Classification,
    Detection,
    Embedding,
    Objects,
    Regression,
    Segmentation,
    Text,
)
from tritonpm.meaning.spec import ROLES, decode

NAMES = ("bolt", "nut")
# A picture of 200 x 100 (width x height) in an input of 64 x 64: a third as large, filled up above and below.
LETTERBOX = Geometry((100, 200), (64, 64), (0.32, 0.32), (16.0, 0.0))


def objects(
    answer: dict[str, Array], geometry: Geometry = LETTERBOX, labels: tuple[str, ...] = NAMES, **spec: Any
) -> Objects:
    return decoded(answer, decode(spec), labels, [geometry])[0]


def in_input(*box: float) -> list[float]:
    """The corners of a box of the picture, in the input."""
    return LETTERBOX.to_input(np.array(box).reshape(2, 2)).ravel().tolist()


def centred(*box: float) -> list[float]:
    left, top, right, bottom = in_input(*box)
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def seen(found: Objects) -> list[tuple[str, float, tuple[float, ...]]]:
    assert all(isinstance(one, Detection) for one in found)
    return [
        (one.name, round(one.score, 4), tuple(round(v, 2) for v in vars(one.box).values()))
        for one in found
        if isinstance(one, Detection)
    ]


BOLT, NUT = (10.0, 20.0, 50.0, 60.0), (100.0, 30.0, 180.0, 90.0)
BOTH = [("bolt", 0.9, BOLT), ("nut", 0.6, NUT)]


def test_every_kind_has_a_decoder() -> None:
    assert set(DECODERS) == set(ROLES)


def yolov5_rows() -> Array:
    return np.array(
        [
            [*centred(*BOLT), 0.9, 1.0, 0.1],
            [*centred(12, 21, 50, 60), 0.8, 0.9, 0.1],  # the same bolt again
            [*centred(*NUT), 0.8, 0.1, 0.75],
            [*centred(0, 0, 30, 30), 0.2, 0.9, 0.1],  # nothing: its objectness is low
        ],
        np.float32,
    )


def test_yolov5_multiplies_objectness_and_class() -> None:
    assert seen(objects({"output0": yolov5_rows()[np.newaxis]}, kind="yolov5")) == BOTH


def yolov8_columns(*more: list[float]) -> Array:
    rows = [
        [*centred(*BOLT), 0.9, 0.1],
        [*centred(11, 21, 50, 60), 0.8, 0.1],
        [*centred(*NUT), 0.0, 0.6],
        [*centred(101, 30, 180, 90), 0.3, 0.0],  # a bolt at the nut's place: of another class, it stays
        [*centred(0, 0, 40, 40), 0.2, 0.1],
    ]
    return np.array([[*row, *(more[index] if more else [])] for index, row in enumerate(rows)], np.float32).T[
        np.newaxis
    ]


def test_yolov8_is_in_columns_and_suppresses_within_a_class() -> None:
    third = ("bolt", 0.3, (101.0, 30.0, 180.0, 90.0))
    assert seen(objects({"output0": yolov8_columns()}, kind="yolov8")) == [*BOTH, third]
    assert seen(objects({"output0": yolov8_columns()}, kind="yolov8", agnostic=True)) == BOTH
    assert len(objects({"output0": yolov8_columns()}, kind="yolov8", score=0.1)) == 4
    assert len(objects({"output0": yolov8_columns()}, kind="yolov8", most=1)) == 1


def test_rows_of_a_batch_are_pictures_with_geometries_of_their_own() -> None:
    answer = {"o": np.concatenate([yolov8_columns(), np.zeros_like(yolov8_columns())])}
    first, second = decoded(answer, decode({"kind": "yolov8"}), NAMES, [LETTERBOX, identity(64, 64)])
    assert seen(first)[:2] == BOTH
    assert second == ()


@pytest.mark.parametrize("kind", ["yolov8-segment", "yolov5-segment"])
def test_masks_are_mixed_of_prototypes_within_the_box(kind: str) -> None:
    left_half = np.where(np.arange(16) < 8, 6.0, -6.0)[np.newaxis].repeat(16, 0)  # of the input, so of the picture
    prototypes = np.stack([left_half, -left_half])[np.newaxis].astype(np.float32)
    mixes = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    if kind == "yolov8-segment":
        predictions = yolov8_columns(*mixes)
    else:
        predictions = np.concatenate([yolov5_rows(), np.array(mixes[:4], np.float32)], axis=1)[np.newaxis]
    answer = {"output0": predictions, "output1": prototypes}
    roles = {"predictions": "output0", "prototypes": "output1"}
    bolt, nut = objects(answer, kind=kind, outputs=roles, agnostic=True)
    assert isinstance(bolt, Detection) and isinstance(nut, Detection)
    assert bolt.mask is not None and nut.mask is not None
    assert bolt.mask.shape == (100, 200)
    assert bolt.mask.sum() == 40 * 40  # all of the bolt is in the left half
    assert nut.mask.sum() == 80 * 60
    half = objects(answer, kind=kind, outputs=roles | {}, score=0.65, agnostic=True, threshold=0.9)[0]
    assert isinstance(half, Detection) and half.mask is not None and 0 < half.mask.sum() <= 40 * 40


def test_a_mask_ends_where_its_prototype_does() -> None:
    halves = (
        np.where(np.arange(64) < 32, 6.0, -6.0)[np.newaxis].repeat(64, 0)[np.newaxis, np.newaxis].astype(np.float32)
    )
    row = np.array([[*centred(80, 10, 120, 50), 0.9, 0.0, 1.0]], np.float32).T[np.newaxis]
    (one,) = objects({"p": row, "m": halves}, kind="yolov8-segment", outputs={"predictions": "p", "prototypes": "m"})
    assert isinstance(one, Detection) and one.mask is not None
    assert one.mask.sum() == 20 * 40  # the middle of the input is the picture's at 100
    assert not one.mask[:, 100:].any()


def test_keypoints_lie_in_the_picture() -> None:
    points = [
        [*LETTERBOX.to_input(np.array([20, 30])).tolist(), 0.9, *LETTERBOX.to_input(np.array([40, 50])).tolist(), 0.1]
    ]
    row = np.array([[*centred(*BOLT), 0.8, *points[0]]], np.float32).T[np.newaxis]
    (one,) = objects({"o": row}, kind="yolov8-pose", keypoints=[2, 3], labels=("person",))
    assert isinstance(one, Detection)
    assert_allclose(one.keypoints, [[20, 30, 0.9], [40, 50, 0.1]], rtol=1e-4)


def test_turned_boxes_suppress_by_the_gaussians_they_stand_for() -> None:
    across = [*centred(*BOLT)[:2], 12.0, 2.0, 0.9, 0.0, math.pi / 4]
    again = [*centred(*BOLT)[:2], 12.0, 2.1, 0.8, 0.0, math.pi / 4 + 0.01]
    other = [*centred(*BOLT)[:2], 12.0, 2.0, 0.7, 0.0, -math.pi / 4]  # the other diagonal: another bolt
    answer = np.array([across, again, other], np.float32).T[np.newaxis]
    found = objects({"o": answer}, kind="yolov8-obb")
    assert [round(one.angle or 0, 3) for one in found if isinstance(one, Detection)] == [0.785, -0.785]
    assert_allclose([*vars(found[0].box).values()], [30 - 18.75, 40 - 3.125, 30 + 18.75, 40 + 3.125], rtol=1e-4)  # type: ignore[union-attr]


def test_a_turned_box_goes_if_a_better_one_overlaps_it_whether_that_one_stays_or_not() -> None:
    """Ultralytics' "fast NMS"."""
    row = [[50.0 + 3 * step, 50.0, 12.0, 6.0, 0.9 - step / 10, 0.0, 0.5] for step in range(3)]  # each beside the next
    (one,) = objects({"o": np.array(row, np.float32).T[np.newaxis]}, kind="yolov8-obb", iou=0.5)
    assert isinstance(one, Detection)
    assert one.score == pytest.approx(0.9)
    assert len(objects({"o": np.array(row[::2], np.float32).T[np.newaxis]}, kind="yolov8-obb", iou=0.5)) == 2


def test_yolov10_is_taken_as_it_is() -> None:
    rows = [[*in_input(*NUT), 0.6, 1], [*in_input(*BOLT), 0.9, 0], [0, 0, 5, 5, 0.1, 0]]
    assert seen(objects({"o": np.array([rows], np.float32)}, kind="yolov10")) == BOTH


def test_yolov10_brings_keypoints_angles_and_masks() -> None:
    row = [*in_input(*BOLT), 0.9, 0]
    points = np.concatenate([np.array([[*in_input(20, 30, 40, 50)]]).reshape(2, 2), [[0.9], [0.1]]], axis=1)
    (posed,) = objects({"o": np.array([[[*row, *points.ravel()]]], np.float32)}, kind="yolov10-pose", keypoints=[2, 3])
    (turned,) = objects({"o": np.array([[[*centred(*BOLT), 0.9, 0, 0.5]]], np.float32)}, kind="yolov10-obb")
    answer = {"o": np.array([[[*row, 1.0]]], np.float32), "p": np.ones((1, 1, 8, 16), np.float32)}
    (whole,) = objects(answer, kind="yolov10-segment", outputs={"predictions": "o", "prototypes": "p"})
    assert isinstance(posed, Detection) and isinstance(turned, Detection) and isinstance(whole, Detection)
    assert_allclose(posed.keypoints, [[20, 30, 0.9], [40, 50, 0.1]], rtol=1e-4)
    points[:, :2] = [[-1e4, 1e4], [1e4, -1e4]]
    (outside,) = objects(
        {"o": np.array([[[*row, *points.ravel()]]], np.float32)}, kind="yolov10-pose", keypoints=[2, 3]
    )
    assert isinstance(outside, Detection)
    assert_allclose(np.array(outside.keypoints)[:, :2], [[0, 100], [200, 0]])
    assert turned.angle == 0.5
    assert_allclose([*vars(turned.box).values()], BOLT, rtol=1e-4)
    assert whole.mask is not None
    assert whole.mask.sum() == pytest.approx(whole.box.area, rel=0.1)


def test_efficient_nms_counts_its_rows() -> None:
    answer = {
        "num_dets": np.array([[2]], np.int32),
        "det_boxes": np.array([[in_input(*BOLT), in_input(*NUT), in_input(*NUT)]], np.float32),
        "det_scores": np.array([[0.9, 0.6, 0.5]], np.float32),
        "det_classes": np.array([[0, 1, 1]], np.int32),
    }
    roles = {"count": "num_dets", "boxes": "det_boxes", "scores": "det_scores", "classes": "det_classes"}
    assert seen(objects(answer, kind="efficient-nms", outputs=roles)) == BOTH


def test_boxes_as_torchvision_gives_them() -> None:
    mask = np.zeros((2, 1, 64, 64), np.float32)
    mask[0, 0, :, :32] = 1
    answer = {
        "boxes": np.array([in_input(*BOLT), in_input(*NUT)], np.float32),
        "labels": np.array([1, 2]),
        "scores": np.array([0.9, 0.6], np.float32),
        "masks": mask,
    }
    found = objects(answer, kind="boxes", outputs={"classes": "labels"}, background="first")
    assert seen(found) == BOTH
    assert found[0].mask.sum() == 100 * 100  # type: ignore[union-attr]
    assert seen(objects(answer, labels=("none", *NAMES), kind="boxes", outputs={"classes": "labels"}, background="first",
                        background_named=True)) == BOTH  # fmt: skip


def test_boxes_with_the_score_in_the_fifth_column_and_masks_of_the_box() -> None:
    answer = {
        "dets": np.array([[[*in_input(*BOLT), 0.9], [*in_input(*NUT), 0.6]]], np.float32),
        "labels": np.array([[0, 1]]),
        "masks": np.ones((1, 2, 28, 28), np.float32) * np.where(np.arange(28) < 14, 1, 0),
    }
    found = objects(answer, kind="boxes", outputs={"boxes": "dets", "classes": "labels"}, masks="box")
    assert seen(found) == BOTH
    assert found[1].mask.sum() == 40 * 60  # type: ignore[union-attr]


def test_boxes_with_scores_of_each_class() -> None:
    shares = np.array([BOLT, NUT]) / [200, 100, 200, 100]
    scores = np.array([[[0.05, 0.9, 0.05], [0.3, 0.1, 0.6]]], np.float32)
    found = objects({"boxes": shares[np.newaxis].astype(np.float32), "scores": scores}, identity(100, 200), kind="boxes",
                    space="unit", background="first")  # fmt: skip
    assert seen(found) == BOTH


@pytest.mark.parametrize(("form", "order"), [("yxyx", [1, 0, 3, 2]), ("xyxy", [0, 1, 2, 3])])
def test_boxes_of_the_picture_itself(form: str, order: list[int]) -> None:
    listed = np.array([BOLT, NUT], np.float32)[:, order]
    answer = {"boxes": listed, "scores": np.array([0.9, 0.6], np.float32), "classes": np.array([0, 1])}
    assert seen(objects(answer, kind="boxes", boxes=form, space="picture")) == BOTH


def test_ssd_rows_say_their_picture() -> None:
    shares = [[*np.array(in_input(*box)) / 64] for box in (BOLT, NUT)]
    rows = [[0, 1, 0.9, *shares[0]], [1, 1, 0.8, *shares[1]], [0, 2, 0.6, *shares[1]], [-1, 0, 0, 0, 0, 0, 0]]
    answer = {"detection_out": np.array(rows, np.float32)[np.newaxis, np.newaxis]}
    spec = decode({"kind": "ssd", "space": "unit", "background": "first"})
    first, second = decoded(answer, spec, NAMES, [LETTERBOX, LETTERBOX])
    assert seen(first) == BOTH
    assert seen(second) == [("bolt", 0.8, NUT)]


def detr_boxes() -> Array:
    return np.array([[*np.array(centred(*box)) / 64] for box in (BOLT, NUT, (0, 0, 20, 20))], np.float32)[np.newaxis]


def test_detr_leaves_out_what_is_none() -> None:
    scores = np.log(np.array([[[0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]]], np.float32))
    answer = {"logits": scores, "pred_boxes": detr_boxes()}
    roles = {"scores": "logits", "boxes": "pred_boxes"}
    assert seen(objects(answer, kind="detr", outputs=roles, activation="softmax", background="last")) == BOTH


def test_rt_detr_has_scores_of_their_own_for_each_class() -> None:
    shares = np.array([[[0.9, 0.05], [0.3, 0.6], [0.1, 0.1]]])
    answer = {"logits": np.log(shares / (1 - shares)).astype(np.float32), "pred_boxes": detr_boxes()}
    found = objects(answer, kind="detr", outputs={"scores": "logits", "boxes": "pred_boxes"}, activation="sigmoid")
    assert seen(found) == [*BOTH, ("bolt", 0.3, NUT)]


def test_a_classification_is_its_best_classes() -> None:
    found = objects({"y": np.log(np.array([[0.2, 0.7, 0.1]], np.float32))}, kind="classification", top_k=2,
                    activation="softmax", labels=("a", "b", "c"))  # fmt: skip
    assert [one.name for one in found if isinstance(one, Classification)] == ["b", "a"]
    assert_allclose([one.score for one in found if isinstance(one, Classification)], [0.7, 0.2], rtol=1e-5)


def test_a_class_beyond_the_labels_is_a_number() -> None:
    assert objects({"y": np.array([[0.1, 0.2, 0.7]])}, kind="classification", top_k=1) == (Classification(2, "2", 0.7),)


def test_multi_label_has_every_class_that_counts() -> None:
    found = objects({"y": np.array([[2.0, -2.0, 1.0]], np.float32)}, kind="multi-label", activation="sigmoid", score=0.5,
                    labels=("a", "b", "c"))  # fmt: skip
    assert [one.name for one in found if isinstance(one, Classification)] == ["a", "c"]


def test_a_segmentation_has_the_pictures_size() -> None:
    scores = np.zeros((1, 2, 8, 8), np.float32)
    scores[0, 0, :, :4] = scores[0, 1, :, 4:] = 1
    (one,) = objects({"y": scores}, kind="semantic-segmentation")
    assert isinstance(one, Segmentation) and one.names == NAMES
    assert one.classes.shape == (100, 200)
    assert (one.classes[:, :99] == 0).all() and (one.classes[:, 101:] == 1).all()
    (same,) = objects({"y": scores.argmax(axis=1)}, kind="semantic-segmentation")
    assert isinstance(same, Segmentation) and (same.classes == np.repeat([[0] * 100 + [1] * 100], 100, 0)).all()


def test_one_channel_is_a_segment_above_the_threshold() -> None:
    logits = np.where(np.arange(8) < 2, 3.0, -3.0).repeat(8).reshape(1, 1, 8, 8).astype(np.float32)
    (one,) = objects({"y": logits}, identity(8, 8), kind="semantic-segmentation", activation="sigmoid")
    assert isinstance(one, Segmentation) and one.classes.sum() == 16


def test_an_anomaly_is_where_the_map_is_high() -> None:
    unusual = np.zeros((1, 1, 8, 8), np.float32)
    unusual[0, 0, 2, 3] = 0.8
    (one,) = objects({"m": unusual}, identity(8, 8), kind="anomaly-map", outputs={"map": "m"}, score=0.5)
    assert isinstance(one, Anomaly) and one.map is not None
    assert one.anomalous and one.score == pytest.approx(0.8) and one.map.argmax() == 2 * 8 + 3
    answer = {"m": unusual, "s": np.array([0.3], np.float32)}
    (calm,) = objects(answer, identity(8, 8), kind="anomaly-map", outputs={"map": "m", "score": "s"}, score=0.5)
    assert isinstance(calm, Anomaly) and not calm.anomalous


def test_texts_are_the_areas_of_the_map_made_larger() -> None:
    likely = np.zeros((1, 1, 64, 128), np.float32)
    likely[0, 0, 20:30, 10:50] = 0.9
    likely[0, 0, 40:50, 60:120] = 0.8
    likely[0, 0, 60, 1] = 1  # a speck
    geometry = Geometry((128, 256), (64, 128), (0.5, 0.5))
    first, second = objects({"m": likely}, geometry, kind="ocr-detection", threshold=0.3, score=0.6, unclip=1.5)
    further = 10 * 40 * 1.5 / 100  # area · unclip / perimeter
    assert isinstance(first, Detection) and isinstance(second, Detection)
    assert first.score == pytest.approx(0.9)
    assert_allclose([*vars(first.box).values()], np.array([10 - further, 20 - further, 50 + further, 30 + further]) * 2)
    assert first.polygon[0] == pytest.approx((2 * (10 - further), 2 * (20 - further)))


def test_a_text_that_lies_askew_has_a_polygon() -> None:
    rows, columns = np.mgrid[:64, :64]
    along, across = (columns - 32 + rows - 32) / math.sqrt(2), (rows - columns) / math.sqrt(2)
    likely = ((abs(along) < 20) & (abs(across) < 5)).astype(np.float32)[np.newaxis, np.newaxis]
    (one,) = objects({"m": likely}, identity(64, 64), kind="ocr-detection", threshold=0.3, unclip=1.0)
    assert isinstance(one, Detection)
    sides = sorted(math.dist(a, b) for a, b in zip(one.polygon, one.polygon[1:], strict=False))
    assert sides[-1] == pytest.approx(40 + 8, abs=3) and sides[0] == pytest.approx(10 + 8, abs=3)


@pytest.mark.parametrize("blank", ["first", "last"])
def test_ctc_leaves_out_blanks_and_repetitions(blank: str) -> None:
    letters = ["A", "B", "C", " "]
    order = ["-", *letters] if blank == "first" else [*letters, "-"]
    steps = "AA-AB--C C"
    scores = np.full((1, len(steps), len(order)), 0.01, np.float32)
    for index, step in enumerate(steps):
        scores[0, index, order.index(step)] = 0.9
    (one,) = objects({"y": scores}, kind="ocr-recognition", labels=("A", "B", "C"), blank=blank, space_character=True)
    assert one == Text("AABC C", pytest.approx(0.9))  # type: ignore[arg-type]


def test_vectors_and_values() -> None:
    assert objects({"y": np.array([[1.0, 2.0]])}, kind="embedding") == (Embedding((1.0, 2.0)),)
    assert objects({"y": np.array([[3.5]])}, kind="regression") == (Regression((3.5,)),)


def test_a_box_that_has_no_part_in_the_picture_is_none() -> None:
    rows = np.array([[[0, 0, 60, 10, 0.9, 0]]], np.float32)  # in what was filled up above
    assert objects({"o": rows}, kind="yolov10") == ()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("yolov8", np.zeros((1, 3, 4))), ("yolov10", np.zeros((1, 3, 4))), ("ssd", np.zeros((1, 1, 3, 6)))],
)
def test_what_is_no_such_answer_is_said(kind: str, answer: Array) -> None:
    with pytest.raises(ValueError, match=r"not those of kind|cannot reshape"):
        objects({"o": answer + 0.9}, kind=kind)


@pytest.mark.parametrize("kind", sorted(ROLES))
def test_nothing_found_is_no_error(kind: str) -> None:
    """Empty lists, and maps of zeros, are answers as any other."""
    if kind in ("yolov10", "boxes", "detr", "efficient-nms", "yolov5", "yolov8"):
        empty = {
            "yolov10": {"predictions": np.zeros((1, 0, 6))},
            "yolov5": {"predictions": np.zeros((1, 0, 7))},
            "yolov8": {"predictions": np.zeros((1, 6, 0))},
            "boxes": {"boxes": np.zeros((0, 4)), "scores": np.zeros(0), "classes": np.zeros(0, int)},
            "detr": {"boxes": np.zeros((1, 3, 4)), "scores": np.zeros((1, 3, 2))},
            "efficient-nms": {"count": np.zeros((1, 1), np.int32), "boxes": np.zeros((1, 5, 4)),
                              "scores": np.zeros((1, 5)), "classes": np.zeros((1, 5))},
        }[kind]  # fmt: skip
        assert objects(empty, kind=kind) == ()
