"""Advice on the batch size: said where it pays, and only then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.settings.advice import ENOUGH, batch_advice


@pytest.mark.parametrize(
    ("most", "executions", "words"),
    [
        (
            20,
            {20: 100, 6: 100},
            "batches of 26 run as a full pass of 20 and a nearly empty one of 6: 26 takes them in one pass, 13",
        ),
        (128, {128: 60, 20: 60}, "148 takes them in one pass, 74 in two even ones"),
        (64, {4: 200}, "no more than 4 ran at once"),
        (8, {8: 200}, ""),
        (8, {8: 200, 3: 10}, ""),
        (20, {20: 100, 16: 100}, ""),
        (64, {4: 10}, ""),
        (1, {1: 500}, ""),
        (8, {}, ""),
    ],
)
def test_what_is_said(most: int, executions: dict[int, int], words: str) -> None:
    said = batch_advice(most, executions)
    assert (words in said) if words else said == ""


@given(st.integers(1, 128), st.dictionaries(st.integers(1, 128), st.integers(0, 10**6)))
def test_any_statistics_are_read(most: int, executions: dict[int, int]) -> None:
    said = batch_advice(most, executions)
    assert not said or sum(executions.values()) >= ENOUGH


def test_where_triton_does_not_batch_the_reason_is_said_once_enough_ran() -> None:
    assert batch_advice(0, {1: ENOUGH}, unjoined="the openvino backend") == "the openvino backend"
    assert batch_advice(0, {1: ENOUGH - 1}, unjoined="the openvino backend") == ""
    assert batch_advice(1, {1: ENOUGH}, unjoined="the openvino backend") == ""
