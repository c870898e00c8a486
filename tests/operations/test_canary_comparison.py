"""A canary beside its package: what differs, and what either answers to the same samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import single
from tritonpm.core.errors import NotFoundError
from tritonpm.operations import canary
from tritonpm.operations.canary_comparison import canary_of, compare_canary
from tritonpm.operations.context import Context
from tritonpm.operations.load import load


@pytest.mark.server
def test_both_are_asked_the_same(published: Context, server: None, tmp_path: Path) -> None:
    context = published
    load(context, "p")
    with pytest.raises(NotFoundError, match="p has no canary"):
        compare_canary(context, "p")
    assert canary_of(context, "p") == ""
    canary.start(context, "p", None, {"max_batch_size": 2})
    assert canary_of(context, "p") == canary_of(context, "p-canary") == "p"
    same = compare_canary(context, "p")
    assert [(row.what, row.before, row.after) for row in same.differences] == [("max_batch_size", "8", "2")]
    [answer] = same.answers
    assert (answer.alike, answer.output, answer.error) == (True, "", "")
    assert answer.ms and answer.canary_ms
    canary.abort(context, "p")
    canary.start(context, "p", single(tmp_path / "other", scaled(2.5), "p"), {})
    other = compare_canary(context, "p")
    assert [row.what for row in other.differences] == ["m.onnx"]
    [answer] = other.answers
    assert (answer.alike, answer.output) == (False, "y")
    assert answer.difference == pytest.approx(0.55, rel=1e-3)  # of 1.1 · 2.5 and 1.1 · 2
    assert compare_canary(context, "p", ask=False).answers == ()
    canary.abort(context, "p")
