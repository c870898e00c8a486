"""A conversion is held to what the package says of its outputs: what looks alike as a tensor may mean nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tritonpm.convert.agreement import Measured
from tritonpm.convert.meant import Meant, meant
from tritonpm.core.tensors import Array
from tritonpm.core.types import Task
from tritonpm.meaning.spec import Decode, Preprocess
from tritonpm.meaning.stages import Meaning

DETECTOR = Meant(Decode("yolov8"), (64, 64))


def head(*objects: tuple[float, float, float, int], anchors: int = 50) -> dict[str, Array]:
    """YOLOv8's columns: boxes in hundreds of pixels beside scores below 1."""
    columns = np.zeros((1, 6, anchors), np.float32)
    columns[0, :4] = np.random.default_rng(0).uniform(0, 64, (4, anchors))
    for index, (x, y, score, kind) in enumerate(objects):
        columns[0, :4, index], columns[0, 4 + kind, index] = (x, y, 10, 10), score
    return {"output0": columns}


SEEN = head((20, 20, 0.9, 0), (40, 40, 0.8, 1))


def zeroed(answer: dict[str, Array]) -> dict[str, Array]:
    return {"output0": np.concatenate([answer["output0"][:, :4], answer["output0"][:, 4:] * 0], axis=1)}


def test_scores_that_are_zero_are_a_failure_though_the_cosine_is_one() -> None:
    measured = Measured(Task.OBJECT_DETECTION, meant=DETECTOR)
    with pytest.raises(ValueError, match="finds nothing where the original finds something"):
        measured.add(SEEN, zeroed(SEEN))
    a, b = SEEN["output0"].ravel(), zeroed(SEEN)["output0"].ravel()
    assert a @ b / np.sqrt((a @ a) * (b @ b)) > 0.9999


def test_objects_are_counted_where_the_package_says_what_they_are() -> None:
    measured = Measured(Task.OBJECT_DETECTION, meant=DETECTOR)
    measured.add(SEEN, SEEN)
    measured.add(SEEN, head((20, 20, 0.9, 0), (40, 40, 0.8, 0)))  # another class
    assert measured.boxes == [(2, 2), (1, 3)]


def test_lists_of_other_lengths_are_compared_as_objects() -> None:
    rows = Meant(Decode("boxes", {"classes": "labels"}, space="picture"))
    long = {
        "boxes": np.array([[0, 0, 9, 9], [20, 20, 30, 30.0]]),
        "scores": np.array([0.9, 0.3]),
        "labels": np.array([1, 1]),
    }
    short = {name: array[:1] for name, array in long.items()}
    measured = Measured(Task.OBJECT_DETECTION, meant=rows)
    measured.add(long, short)
    assert measured.boxes == [(1, 2)]


def test_rows_of_a_batch_are_pictures() -> None:
    two = {"output0": np.concatenate([SEEN["output0"], head((10, 50, 0.7, 0))["output0"]])}
    same, other = DETECTOR.match(two, two), DETECTOR.match(two, {"output0": two["output0"][::-1]})
    assert same and (same.both, same.either) == (3, 3)
    assert other and other.both == 0


def test_an_answer_that_is_none_of_the_kind_is_compared_as_tensors() -> None:
    assert DETECTOR.match({"y": np.zeros((1, 3))}, {"y": np.zeros((1, 3))}) is None
    measured = Measured(Task.OBJECT_DETECTION, meant=DETECTOR)
    with pytest.raises(ValueError, match="has shape"):
        measured.add({"y": np.zeros((1, 3))}, {"y": np.zeros((1, 2))})


def test_what_is_unknown_is_not_compared() -> None:
    assert meant(Meaning()) is None
    known = meant(Meaning(Preprocess(size=(64, 32)), Decode("yolov8")))
    assert known == Meant(Decode("yolov8"), (64, 32))
