"""What of an adopted config's warm-up, and of its reshapes, reaches a server."""

from __future__ import annotations

import pytest

from tritonpm.core.errors import RenderError
from tritonpm.package.config import parsed
from tritonpm.repository.adopt import adapt, settings_of
from tritonpm.settings.settings import Settings

INPUT = 'input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }\n'
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }\n'


def config(text: str, backend: str = "onnxruntime"):
    return parsed(f'name: "m" backend: "{backend}" max_batch_size: 4\n{text}', "m")


def sample(dims: int, *, batch: int = 1, count: int = 1, dtype: str = "TYPE_FP32") -> str:
    value = f"data_type: {dtype} dims: [ {dims} ] zero_data: true"
    return (
        f'model_warmup {{ name: "w" batch_size: {batch} count: {count} inputs {{ key: "x" value {{ {value} }} }} }}\n'
    )


def adapted(text: str, backend: str = "onnxruntime", **changes: object):
    base, notes = config(text, backend), []
    return adapt(base, Settings(**{**settings_of(base), **changes}), notes), notes


@pytest.mark.parametrize(
    "text",
    [sample(1 << 31), sample(1 << 62), sample(1 << 26, batch=4), sample(1, count=4_000_000_000), sample(1) * 1001],
)
def test_a_warm_up_beyond_bounds_is_refused_and_can_be_left_out(text):
    with pytest.raises(RenderError, match="--no-warmup"):
        adapted(text)
    assert not adapted(text, warmup=False)[0].model_warmup


def test_a_warm_up_within_bounds_stays():
    assert adapted(sample(1 << 20, batch=4, count=3))[0].model_warmup[0].count == 3


def test_python_code_is_not_warmed_up():
    said, notes = adapted(sample(3), "python")
    assert not said.model_warmup
    assert "whole server" in notes[0]


def test_an_input_reshaped_to_nothing_gets_a_batch_dimension_of_its_own():
    said, notes = adapted(INPUT + OUTPUT + sample(1, batch=4) + "dynamic_batching { }")
    assert (said.max_batch_size, said.HasField("dynamic_batching")) == (0, False)
    assert [list(t.dims) for t in (*said.input, *said.output)] == [[-1, 1], [-1, 2]]
    assert list(said.input[0].reshape.shape) == [-1]
    [warm_up] = said.model_warmup
    assert (warm_up.batch_size, list(warm_up.inputs["x"].dims)) == (1, [4, 1])
    assert "one value a row" in notes[0]


def test_a_sequence_whose_input_is_reshaped_to_nothing_is_refused():
    with pytest.raises(RenderError, match="without rows"):
        adapted(INPUT + OUTPUT + "sequence_batching { }")
