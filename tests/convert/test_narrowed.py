"""Where OpenVINO computes otherwise than the model says: the graph is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.proof_oracle.run import written
from tritonpm.convert.narrowed import narrowed
from tritonpm.core.types import Format, Values

IDS = "g (int64[N,4] x) => (int64[N,4] y) { y = Mod(x, m) }"
FAR = {"m": np.array([1000], np.int64)}


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (IDS, "INT64 reaches arithmetic (Mod)"),
        ("g (double[N,4] x) => (float[N,4] y) { a = Abs(x) y = Cast<to=1>(a) }", "FP64 reaches arithmetic (Abs)"),
        ("g (int32[N,4] x) => (int64[N,4] y) { a = Cast<to=7>(x) y = Add(a, m) }", "INT64 reaches arithmetic (Add)"),
        ("g (float[N,4] x) => (uint8[N,4] y) { y = Cast<to=2>(x) }", "a float is cast to an integer (Cast)"),
        ("g (float[N,4] x) => (float[N,4] y) { a = Cast<to=7>(x) y = Cast<to=1>(a) }", "a float is cast to an integer"),
        ("g (int64[N,4] x) => (float[N,4] y) { i = Gather<axis=1>(x, m) y = Cast<to=1>(i) }", ""),
        ("g (float[N,4] x) => (float[N,4] y) { s = Shape(x) t = Add(s, s) u = Sub(t, s) y = Reshape(x, u) }", ""),
        ("g (float[N,4] x) => (int64[N,1] y) { y = ArgMax<axis=1>(x) }", ""),
        ("g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }", ""),
    ],
)
def test_what_reaches_arithmetic(tmp_path: Path, graph: str, said: str) -> None:
    reason = narrowed(Format.ONNX, written(tmp_path / "model.onnx", graph, FAR))
    assert (said in reason) if said else reason == ""


def test_arithmetic_inside_of_a_condition_counts(tmp_path: Path) -> None:
    graph = (
        "g (int64[N,4] x, bool c) => (int64[N,4] y) { y = If(c) <then_branch = t () => (int64[N,4] a) { a = Neg(x) }, "
        "else_branch = e () => (int64[N,4] b) { b = Identity(x) }> }"
    )
    assert "Neg" in narrowed(Format.ONNX, written(tmp_path / "model.onnx", graph, {}))


def test_a_range_that_fits_in_32_bits_is_no_reason(tmp_path: Path) -> None:
    model = written(tmp_path / "model.onnx", IDS, FAR)
    assert narrowed(Format.ONNX, model, {"x": Values(0, 100_000)}) == ""
    assert narrowed(Format.ONNX, model, {"x": Values(0, 1e12)})
