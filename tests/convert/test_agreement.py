"""The judge of conversions: what is alike passes, what is not is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tritonpm.convert.agreement import BOUNDS, UnverifiableError, agreement, judged
from tritonpm.convert.detection import boxes_of, matched
from tritonpm.convert.graph_values import GraphValues
from tritonpm.convert.running import RunFailedError
from tritonpm.convert.trials import Knowledge, Trial, trials
from tritonpm.core.types import Task, Tensor

FLOATS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=3), elements=st.floats(-1e4, 1e4, width=32))


@given(FLOATS, st.sampled_from(sorted(BOUNDS)))
def test_the_same_answer_is_verified_at_every_precision(answer: np.ndarray, precision: str) -> None:
    result = judged({"y": answer}, {"y": answer.copy()}, precision=precision)
    assert result.state == "verified"
    assert result.outputs[0].max_abs == 0.0


@given(FLOATS, st.floats(0.01, 1e3))
def test_the_measures_are_what_they_say(answer: np.ndarray, shift: float) -> None:
    moved = answer + np.float32(shift)
    result = judged({"y": answer}, {"y": moved}, precision="INT8", tolerances={"cosine": -1.0})
    apart = np.abs(answer.astype(np.float64) - moved.astype(np.float64))
    assert result.outputs[0].max_abs == pytest.approx(float(apart.max()))
    assert result.outputs[0].scaled == pytest.approx(float(apart.max() / (np.abs(answer).max() or 1.0)), rel=1e-5)
    tight = judged({"y": answer}, {"y": moved}, precision="INT8", tolerances={"max_abs": float(apart.max()) / 2})
    assert tight.state == "failed"


def test_what_is_off_is_named_with_its_numbers() -> None:
    want = {"a": np.ones((2, 3), np.float32), "b": np.arange(6, dtype=np.float32).reshape(2, 3)}
    got = {"a": want["a"], "b": want["b"][:, ::-1].copy()}
    result = judged(want, got, precision="FP32")
    assert result.state == "failed"
    assert "'b'" in result.reason
    assert "scaled 0.4 > 0.001" in result.reason


def test_a_class_that_changes_is_told_and_a_tie_is_none() -> None:
    want = {"scores": np.array([[0.1, 0.9], [0.5, 0.5], [0.8, 0.2]], np.float32)}
    got = {"scores": np.array([[0.2, 0.8], [0.4999, 0.5001], [0.49, 0.51]], np.float32)}
    result = judged(want, got, precision="INT8", task=Task.IMAGE_CLASSIFICATION, tolerances={"cosine": 0.5})
    assert result.top1 == pytest.approx(2 / 3)
    assert "66.67% of the rows have the same class" in result.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_is_never_verified(bad: float) -> None:
    result = judged({"y": np.ones(3, np.float32)}, {"y": np.array([1, bad, 1], np.float32)}, precision="INT8")
    assert "NaN or infinity" in result.reason


def test_a_missing_output_and_another_shape_are_told() -> None:
    assert "'y' is missing" in judged({"y": np.ones(3)}, {}, precision="INT8").reason
    assert "shape [2]" in judged({"y": np.ones(3)}, {"y": np.ones(2)}, precision="INT8").reason


def test_an_original_that_answers_nothing_is_no_proof() -> None:
    def refuses(inputs: object) -> dict[str, np.ndarray]:
        raise RunFailedError("it wants another shape")

    with pytest.raises(UnverifiableError, match="wants another shape"):
        agreement(refuses, refuses, [Trial("a sample", {})], precision="FP32")


def test_a_conversion_that_does_not_run_has_failed() -> None:
    def refuses(inputs: object) -> dict[str, np.ndarray]:
        raise RunFailedError("no kernel")

    result = agreement(lambda x: {"y": np.ones(1)}, refuses, [Trial("batch 8", {})], precision="FP32")
    assert (result.state, result.reason) == ("failed", "on batch 8: no kernel")


BOXES = np.array([[[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]]], np.float32)


def test_detections_are_compared_as_boxes() -> None:
    want = {"boxes": BOXES, "scores": np.array([[0.9, 0.8, 0.1]], np.float32)}
    near = {"boxes": BOXES + 1, "scores": np.array([[0.85, 0.81, 0.12]], np.float32)}
    lost = {"boxes": BOXES + 1, "scores": np.array([[0.85, 0.01, 0.12]], np.float32)}
    loose = {"scaled": 1.0, "cosine": 0.0}
    assert judged(want, near, precision="FP16", task=Task.OBJECT_DETECTION, tolerances=loose).boxes == 1.0
    result = judged(want, lost, precision="FP16", task=Task.OBJECT_DETECTION, tolerances=loose)
    assert (result.state, result.boxes) == ("failed", 0.5)


def test_detections_in_rows_and_of_changing_number() -> None:
    def rows(count: int) -> dict[str, np.ndarray]:
        found = np.concatenate([BOXES[0, :count], np.full((count, 1), 0.9), np.zeros((count, 1))], axis=1)
        return {"detections": found[np.newaxis].astype(np.float32)}

    assert judged(rows(3), rows(3), precision="FP16", task=Task.OBJECT_DETECTION).state == "verified"
    result = judged(rows(3), rows(2), precision="FP16", task=Task.OBJECT_DETECTION)
    assert result.boxes == pytest.approx(2 / 3)


@given(hnp.arrays(np.float32, (1, 5, 4), elements=st.floats(0, 100, width=32)), st.integers(0, 2**32 - 1))
def test_matching_is_symmetric_in_number_and_whole_for_the_same_boxes(boxes: np.ndarray, seed: int) -> None:
    scores = np.random.default_rng(seed).random((1, 5)).astype(np.float32)
    one = boxes_of({"boxes": boxes, "scores": scores})
    assert one is not None
    both, either = matched(one, one)
    assert both == either == len(one.scores)


def test_trials_cover_samples_and_batches() -> None:
    x = Tensor("x", "FP32", ("batch", 4))
    ground = Knowledge((x,), {}, GraphValues())

    def listed(*samples: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        made = trials(lambda given: dict(given), ground, samples, batches=(1, 8), precision="FP32")
        return {trial.what: trial.arrays["x"] for trial in made}

    assert {array.shape[0] for array in listed().values()} == {1, 8}
    sample = np.arange(12, dtype=np.float32).reshape(3, 4)
    sampled = listed({"x": sample})
    assert sampled["1 sample"] is sample
    assert np.array_equal(sampled["batch 8 of them"][3:6], sample)
    assert any("large" in what for what in sampled)


def test_none_seen_against_some_has_failed_and_a_guessed_reading_passes_nothing() -> None:
    def rows(count: int, score: float = 0.9) -> dict[str, np.ndarray]:
        found = np.concatenate([BOXES[0, :count], np.full((count, 1), score), np.zeros((count, 1))], axis=1)
        return {"detections": found[np.newaxis].astype(np.float32)}

    for precision in BOUNDS:
        none = judged(rows(3), rows(3, 0.0), precision=precision, task=Task.OBJECT_DETECTION)
        assert (none.state, "sees none of the 3 objects" in none.reason) == ("failed", True)
    more = {"detections": np.concatenate([rows(3)["detections"], rows(1, 0.01)["detections"]], axis=1)}
    unread = judged(rows(3), more, precision="INT8", task=Task.OBJECT_DETECTION)
    assert (unread.state, unread.boxes) == ("unverified", 1.0)
    assert "does not say how to read it" in unread.reason


X = np.arange(8, dtype=np.float32).reshape(2, 4)


def test_inputs_that_cannot_tell_verify_nothing() -> None:
    def always(inputs: object) -> dict[str, np.ndarray]:
        return {"y": np.ones((2, 4), np.float32)}

    result = agreement(always, always, [Trial("two", {"x": X}), Trial("more", {"x": X + 1})], precision="FP32")
    assert (result.state, result.power.noticed < result.power.tried) == ("unverified", True)
    assert "could be another row's" in result.reason and "samples" in result.reason


def test_what_differs_beyond_the_usual_is_not_verified_and_within_has_failed() -> None:
    def original(inputs: object) -> dict[str, np.ndarray]:
        return {"y": inputs["x"] % 1000}  # type: ignore[index]

    def converted(inputs: object) -> dict[str, np.ndarray]:
        return {"y": inputs["x"].astype(np.int32).astype(np.int64) % 1000}  # type: ignore[index]

    near, far = {"x": np.arange(8).reshape(2, 4)}, {"x": np.arange(8).reshape(2, 4) + (1 << 40)}
    usual = Trial("near", near)
    assert agreement(original, converted, [usual], precision="FP32").state == "verified"
    beyond = agreement(original, converted, [usual, Trial("far", far, usual=False)], precision="FP32")
    assert (beyond.state, "far: " in beyond.reason, "`values`" in beyond.reason) == ("unverified", True, True)
    assert agreement(original, converted, [usual, Trial("far", far)], precision="FP32").state == "failed"
    given = {"scaled": 1e-6}  # a bound that somebody gave holds there, too
    both = [usual, Trial("far", far, usual=False)]
    assert agreement(original, converted, both, precision="FP32", tolerances=given).state == "failed"


def test_where_the_original_hangs_on_a_nudge_nothing_is_told() -> None:
    def steep(inputs: object) -> dict[str, np.ndarray]:
        return {"y": np.sin(inputs["x"] * 1e7).astype(np.float32)}  # type: ignore[index]

    def other(inputs: object) -> dict[str, np.ndarray]:
        return {"y": np.sin(inputs["x"] * 1e7 + 0.5).astype(np.float32)}  # type: ignore[index]

    result = agreement(steep, other, [Trial("made up", {"x": X})], precision="FP32")
    assert (result.state, "hangs on less than FP32 holds" in result.reason) == ("unverified", True)
    assert agreement(steep, other, [Trial("a sample", {"x": X}, sample=True)], precision="FP32").state == "failed"
