"""Answers that mean the same match, and those that do not are told from them, whatever their tensors look like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.meaning.matching import altogether, matched
from tritonpm.meaning.objects import (
    Anomaly,
    Box,
    Classification,
    Detection,
    Embedding,
    Objects,
    Regression,
    Segmentation,
    Text,
)

LEFT = np.zeros((8, 8), bool)
LEFT[:, :4] = True


def box(
    left: float, top: float = 0, size: float = 10, *, score: float = 0.9, kind: int = 0, **more: object
) -> Detection:
    return Detection(Box(left, top, left + size, top + size), score, kind, str(kind), **more)  # type: ignore[arg-type]


ONE: Objects = (box(0), box(50, kind=1))
CLASSES: Objects = (Classification(1, "b", 0.7), Classification(0, "a", 0.6))


@pytest.mark.parametrize(
    ("want", "got", "share"),
    [
        (ONE, tuple(reversed(ONE)), 1.0),
        (ONE, (box(1), box(50, kind=1)), 1.0),  # overlaps by more than half
        (ONE, (box(7), box(50, kind=1)), 1 / 3),  # another place: one is missing, one is too many
        (ONE, (box(0, kind=1), box(50, kind=1)), 1 / 3),  # another class
        (ONE, ONE[:1], 0.5),
        (ONE, (*ONE, box(0, 50)), 2 / 3),
        (ONE, (*ONE, box(0)), 2 / 3),  # the same object twice is none more
        ((), (), 1.0),
        ((box(0, mask=LEFT),), (box(0, mask=LEFT),), 1.0),
        ((box(0, mask=LEFT),), (box(0, mask=~LEFT),), 0.0),  # the same box, another object
        ((box(0, angle=0.0),), (box(0, angle=0.01),), 1.0),
        (CLASSES, CLASSES, 1.0),
        (CLASSES, CLASSES[::-1], 0.0),
        ((Classification(1, "b", 0.7), Classification(0, "a", 0.6999)), CLASSES[::-1], 1.0),  # as good as equal
        ((Text("AB12", 1),), (Text("AB12", 0.5),), 1.0),
        ((Text("AB12", 1),), (Text("AB1", 1),), 0.75),
        ((Text("AB12", 1),), (Text("", 0),), 0.0),
        ((Embedding((1.0, 0.0)),), (Embedding((2.0, 0.0)),), 1.0),
        ((Embedding((1.0, 0.0)),), (Embedding((0.0, 1.0)),), 0.0),
        ((Embedding((1.0, 0.0)),), (Embedding((float("nan"), 0.0)),), 0.0),
        ((Regression((2.0,)),), (Regression((1.0,)),), 0.5),
        ((Segmentation(LEFT.astype(int), ()),), (Segmentation(LEFT.astype(int), ()),), 1.0),
        ((Segmentation(LEFT.astype(int), ()),), (Segmentation(LEFT.astype(int) * 0, ()),), 0.25),
        ((Anomaly(0.9, True, None, 0.5),), (Anomaly(0.4, False, None, 0.5),), 0.0),
        ((Anomaly(0.9, True, LEFT * 1.0, 0.5),), (Anomaly(0.9, True, LEFT * 0.4, 0.5),), 0.0),
    ],
)
def test_the_share_that_is_the_same(want: Objects, got: Objects, share: float) -> None:
    assert matched(want, got).share == pytest.approx(share)


@pytest.mark.parametrize(("want", "got"), [(ONE, ()), ((), ONE), (CLASSES, ()), ((), CLASSES), ((Text("A", 1),), ())])
def test_nothing_beside_something_is_wrong(want: Objects, got: Objects) -> None:
    assert matched(want, got).reason
    assert altogether([matched(ONE, ONE), matched(want, got)]).reason


def test_an_object_just_at_the_threshold_may_fall_on_either_side() -> None:
    at = (box(0), box(50, score=0.26))
    assert matched(at, at[:1], score=0.25).share == 1.0
    assert matched(at, at[:1], score=0.1).share == 0.5
    assert not matched(at[1:], (), score=0.25).reason
    assert matched(at[:1], (), score=0.25).reason


detections = st.lists(
    st.builds(
        box, st.floats(0, 100), st.floats(0, 100), st.floats(1, 50), score=st.floats(0.3, 1), kind=st.integers(0, 2)
    ),
    max_size=6,
).map(tuple)


@given(detections)
def test_every_answer_is_itself(objects: Objects) -> None:
    assert matched(objects, objects).share == 1.0
    assert not matched(objects, objects).reason


@given(detections.filter(bool))
def test_classes_that_were_swapped_are_noticed(objects: Objects) -> None:
    other = tuple(replace(one, class_id=7) for one in objects if isinstance(one, Detection))
    assert matched(objects, other).share == 0.0
