"""A warm-up that fails fails the load with the runtime's sentence, and the server goes on."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.backend_models import one, xy
from tests.support.models import failing_for_zeros

pytestmark = pytest.mark.server
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def warm_up(data: str = "zero_data: true", *, batch: int = 4, count: int = 1, dims: str = "3") -> str:
    value = f"data_type: TYPE_FP32 dims: [ {dims} ] {data}"
    return f'model_warmup {{ name: "w{batch}" batch_size: {batch} count: {count} inputs {{ key: "x" value {{ {value} }} }} }}\n'


def test_a_failing_warm_up_is_the_loads_failure_and_nobody_elses(triton):
    triton.load("beside", one("Neg"), xy("onnxruntime", batch=4))
    if triton.kind == "compiled":  # which loads it, says so in the log, and ends no server either
        triton.load("zeros", failing_for_zeros(3), xy("onnxruntime", batch=4) + warm_up())
        assert "A warm-up failed: " in triton.log.read_text()
        np.testing.assert_array_equal(triton.infer("beside", x=X)["y"], -X)
        return
    for _ in range(3):  # the server ended in about one of three
        sentence = triton.refused("zeros", failing_for_zeros(3), xy("onnxruntime", batch=4) + warm_up())
        assert "warm-up 'w4' fails" in sentence
        assert "out of data bounds" in sentence
    np.testing.assert_array_equal(triton.infer("beside", x=X)["y"], -X)


def test_a_warm_up_of_more_rows_than_a_batch_is_refused(triton, backend):
    text = xy(backend, batch=4) + warm_up(batch=9)
    assert "more than max_batch_size" in triton.refused(f"rows-{backend}", one("Neg"), text)


def test_the_first_answer_after_a_warm_up_is_the_clients(triton, backend):
    samples = warm_up() + warm_up(batch=0) + warm_up("random_data: true", batch=1, count=3)
    samples += warm_up('input_data_file: "x"', batch=2)
    folder = triton.write(f"warm-{backend}", one("Neg"), xy(backend, batch=4) + samples)
    (folder / "warmup").mkdir()
    (folder / "warmup" / "x").write_bytes(X[0].tobytes())
    triton.load(f"warm-{backend}")
    np.testing.assert_array_equal(triton.infer(f"warm-{backend}", x=X)["y"], -X)


def test_without_batching_too(triton, backend):
    text = xy(backend, [-1, 3]) + warm_up(batch=1, dims="2, 3")
    triton.load(f"open-{backend}", one("Neg"), text)
    np.testing.assert_array_equal(triton.infer(f"open-{backend}", x=X)["y"], -X)
