"""Made-up inputs: of every kind that a type has, no two rows alike, within what the model takes and the package says."""

from __future__ import annotations

import time
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.convert.graph_values import GraphValues
from tritonpm.convert.inputs import HUGE, KINDS, LARGE, NEGATIVE, ORDINARY, ZERO, Maker, NoInputsError, digest
from tritonpm.convert.running import RunFailedError
from tritonpm.core.tensors import numpy_dtype
from tritonpm.core.types import DTYPES, Tensor, Values

Arrays = dict[str, np.ndarray]


def takes_all(inputs: Arrays) -> Arrays:
    return dict(inputs)


@given(st.sampled_from(DTYPES), st.sampled_from(KINDS), st.integers(0, 1000), st.integers(1, 5))
def test_values_have_the_type_and_shape_of_the_input(dtype: str, kind: object, seed: int, batch: int) -> None:
    maker = Maker((Tensor("x", dtype, ("batch", 3, "width")),))
    array = maker.make(kind, batch=batch, seed=seed)["x"]  # type: ignore[arg-type]
    assert array.dtype == numpy_dtype(dtype) and array.shape == (batch, 3, 4)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "BOOL"])
def test_no_two_rows_are_alike(dtype: str) -> None:
    maker = Maker.learned(takes_all, (Tensor("x", dtype, ("batch", 6)),), {}, GraphValues(), batch=1)
    rows = [row["x"].tolist() for _, row in islice(maker.rows(batch=1), 12)]
    assert all(one != other for index, one in enumerate(rows) for other in rows[:index])


def test_texts_are_of_different_lengths() -> None:
    maker = Maker((Tensor("x", "BYTES", ("batch", 1)),))
    lengths = {len(row["x"].item()) for _, row in islice(maker.rows(batch=1), 12)}
    assert len(lengths) > 6


def test_whole_numbers_go_up_to_what_the_model_takes() -> None:
    def table(inputs: Arrays) -> Arrays:
        if inputs["x"].max() >= 300 or inputs["x"].min() < 0:
            raise RunFailedError("out of range")
        return inputs

    tensor = Tensor("x", "INT64", ("batch", 50))
    assert Maker.learned(table, (tensor,), {}, GraphValues(), batch=1).bounds == {"x": 255}
    free = Maker.learned(takes_all, (tensor,), {}, GraphValues(), batch=1)
    assert set(free.kinds()) == {ORDINARY, NEGATIVE, LARGE, HUGE}
    assert free.make(LARGE, batch=1, seed=0)["x"].max() > 1 << 31
    assert free.make(HUGE, batch=1, seed=0)["x"].max() > 1 << 53


def test_what_the_package_says_of_its_values_is_all_that_is_tried() -> None:
    tensors = (Tensor("id", "INT64", ("batch", 9)), Tensor("word", "BYTES", ("batch", 9)))
    said = {"id": Values(5, 7), "word": Values(texts=("red", "blue"))}
    maker = Maker.learned(takes_all, tensors, said, GraphValues(), batch=1)
    for _, row in islice(maker.rows(batch=1), 8):
        assert set(row["id"].ravel()) <= {5, 6, 7}
        assert set(row["word"].ravel()) <= {b"red", b"blue"}


def test_what_the_graph_knows_is_tried() -> None:
    maker = Maker((Tensor("x", "FP32", ("batch", 64)),), graph=GraphValues((1234.0,)))
    assert any((row["x"] == 1234).any() for _, row in islice(maker.rows(batch=1), 8))


def test_a_model_that_takes_only_numbers_as_text_gets_them() -> None:
    def parses(inputs: Arrays) -> Arrays:
        try:
            return {"y": inputs["x"].astype(float)}
        except ValueError as error:
            raise RunFailedError(str(error)) from None

    maker = Maker.learned(parses, (Tensor("x", "BYTES", ("batch", 2)),), {}, GraphValues(), batch=1)
    assert maker.numeric


def test_a_model_that_takes_nothing_is_told() -> None:
    def refuses(inputs: Arrays) -> Arrays:
        raise RunFailedError("never")

    with pytest.raises(NoInputsError, match="never"):
        Maker.learned(refuses, (Tensor("x", "FP32", ("batch", 2)),), {}, GraphValues(), batch=1)


def test_the_digest_tells_inputs_apart() -> None:
    maker = Maker((Tensor("x", "BYTES", ("batch", 2)), Tensor("z", "FP32", ("batch", 2))))
    one, same, other = (maker.make(kind, batch=1, seed=0) for kind in (ORDINARY, ORDINARY, ZERO))
    assert digest([one]) == digest([same]) != digest([other])


def test_numbers_that_are_steps_are_not_driven_up() -> None:
    largest = 0

    def loops(inputs: Arrays) -> Arrays:
        nonlocal largest
        largest = max(largest, int(inputs["steps"].max()))
        end = time.process_time() + 0.01 * int(inputs["steps"].max())
        while time.process_time() < end:
            pass
        return inputs

    maker = Maker.learned(loops, (Tensor("steps", "INT64", ("batch", 1)),), {}, GraphValues(), batch=1)
    assert largest <= 127 and maker.bounds == {"steps": 9}
    assert set(maker.kinds()) == {ORDINARY}


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_every_kind_is_made_of_scalars_and_of_nothing(shape: tuple[int, ...]) -> None:
    tensor = Tensor("x", "FP32", shape)
    maker = Maker((tensor,))
    for kind in maker.kinds():
        assert maker.make(kind, batch=None, seed=0)["x"].shape == shape
