"""The JSON that perf_analyzer sends holds exactly what the samples hold."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tritonpm.core.errors import PackageError
from tritonpm.core.tensors import numpy_dtype
from tritonpm.core.types import Signature, Tensor
from tritonpm.perf.inputs import batching, inputs, write

DTYPES = ["BOOL", "UINT8", "INT64", "FP16", "FP32", "FP64"]


def signature(**tensors: tuple[str, tuple[Any, ...]]) -> Signature:
    return Signature(tuple(Tensor(name, dtype, shape) for name, (dtype, shape) in tensors.items()), ())


def test_rows_become_entries_of_the_file(tmp_path: Path) -> None:
    @given(st.sampled_from(DTYPES).flatmap(lambda name: st.tuples(st.just(name), arrays(name))))
    def check(drawn: tuple[str, np.ndarray]) -> None:
        dtype, array = drawn
        found = inputs([{"x": array}], signature(x=(dtype, ("b", "?", "?"))), "triton")
        write(tmp_path / "in.json", found.entries(1))
        data = json.loads((tmp_path / "in.json").read_text())["data"]
        assert len(data) == len(array)
        for entry, row in zip(data, array, strict=True):
            read = np.frombuffer(base64.b64decode(entry["x"]["b64"]), row.dtype).reshape(entry["x"]["shape"])
            assert read.tobytes() == row.tobytes()

    def arrays(name: str) -> st.SearchStrategy[np.ndarray]:
        return hnp.arrays(numpy_dtype(name), hnp.array_shapes(min_dims=3, max_dims=3, max_side=4))

    check()


def test_texts_have_their_lengths_before_them(tmp_path: Path) -> None:
    texts = np.array([[b"a\xc3\xbcb", b""]], object)
    write(tmp_path / "in.json", inputs([{"t": texts}], signature(t=("BYTES", ("b", 2))), "triton").rows)
    entry = json.loads((tmp_path / "in.json").read_text())["data"][0]["t"]
    assert base64.b64decode(entry["b64"]) == b"\x04\0\0\0a\xc3\xbcb\0\0\0\0"
    assert entry["shape"] == [2]


def test_a_model_that_does_not_batch_gets_whole_samples() -> None:
    samples = [{"x": np.ones((2, 3), np.float32)}, {"x": np.ones((4, 5), np.float32)}]
    found = inputs(samples, signature(x=("FP32", ("h", "w"))), "none")
    assert [row["x"].shape for row in found.entries(1)] == [(2, 3), (4, 5)]


def test_a_batch_is_made_of_rows_of_one_shape() -> None:
    samples = [{"x": np.zeros((1, 2), np.float32)}, {"x": np.ones((2, 7), np.float32)}]
    found = inputs(samples, signature(x=("FP32", ("b", "w"))), "triton", batch=3)
    assert found.request(3)["x"].shape == (3, 7)
    assert [row["x"].shape for row in found.entries(3)] == [(7,), (7,)]
    assert found.counted(3) == 3


def test_a_batch_axis_that_triton_does_not_know_gets_whole_batches() -> None:
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    found = inputs([{"x": rows}], signature(x=("FP32", ("?", 2))), "model", batch=2)
    assert [entry["x"].tolist() for entry in found.entries(2)] == [
        rows[:2].tolist(), rows[2:4].tolist(), [rows[4].tolist(), rows[0].tolist()],
    ]  # fmt: skip
    assert found.counted(2) == 1


@pytest.mark.parametrize(
    ("most", "shape", "axis", "expected"),
    [
        (8, ("?", 4), True, "triton"),
        (0, ("?", 4), True, "model"),
        (0, (1, 4), True, "none"),
        (0, ("?", 4), False, "none"),
    ],
)
def test_who_batches(most: int, shape: tuple[Any, ...], axis: bool, expected: str) -> None:
    assert batching({"max_batch_size": most}, signature(x=("FP32", shape)), axis=axis) == expected


def test_samples_come_in_the_dtype_that_the_model_takes() -> None:
    found = inputs([{"x": np.ones((1, 2), np.float32)}], signature(x=("FP16", ("b", 2))), "triton")
    assert found.rows[0]["x"].dtype == np.float16


def test_inputs_with_different_numbers_of_rows_are_refused() -> None:
    sample = {"x": np.ones((2, 2), np.float32), "y": np.ones((3, 2), np.float32)}
    with pytest.raises(PackageError, match=r"\[2, 3\] rows"):
        inputs([sample], signature(x=("FP32", ("b", 2)), y=("FP32", ("b", 2))), "triton")


def test_no_more_is_sent_than_is_worth_it() -> None:
    found = inputs([{"x": np.ones((1000, 2), np.float32)}], signature(x=("FP32", ("b", 2))), "triton")
    assert len(found.rows) == 256
