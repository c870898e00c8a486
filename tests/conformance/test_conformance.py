"""A diverse sample of `script/conformance`, on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.conformance import harness, onnx_cases, run, targets
from tritonpm.core.releases import release
from tritonpm.operations.context import Context
from tritonpm.operations.list import packages

PASS = (
    "light/light_squeezenet",  # old IR, weights among the inputs, static batch of 1 made dynamic
    "light/light_shufflenet",  # reshapes in the middle that repeat the batch
    "simple/test_expand_shape_model1",
    "simple/test_sequence_model6",  # a scalar output
    "pytorch-converted/test_Conv2d",
    "pytorch-operator/test_operator_view",  # shape [1]
    "node/test_if",
    "node/test_lstm_defaults",
    "node/test_nonzero_example",  # a shape that depends on the values
    "node/test_split_equal_parts_1d_opset18",  # several outputs
    "node/test_string_concat_zero_dimensional",  # scalars in and out
)
REFUSED = {
    "node/test_sequence_insert_at_back": "triton",
    "node/test_shape_start_greater_than_end": "triton",
    "node/test_bernoulli": "runtime",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Context]:
    with harness.serving() as started:
        yield started


@pytest.mark.long
@pytest.mark.server
@pytest.mark.timeout(600)
def test_a_sample_of_onnx_cases_is_served_right(server: Context) -> None:
    verdicts = [harness.run(server, name) for name in PASS]
    assert [v for v in verdicts if v.verdict != "passed"] == []
    assert packages(server.catalogue) == []


@pytest.mark.long  # ONNX makes all two thousand cases to give one
@pytest.mark.server
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_who_forces_it(server: Context, name: str) -> None:
    verdict = harness.run(server, name)
    assert (verdict.verdict, verdict.by) == ("refused", REFUSED[name]), verdict


@pytest.mark.parametrize(
    "name", [pytest.param("node/test_add", marks=pytest.mark.long), "simple/test_expand_shape_model1"]
)
def test_what_is_made_older_for_a_release_answers_as_onnx_expects(name: str, tmp_path: Path) -> None:
    assert targets.older(onnx_cases.load(name), release("24.10"), tmp_path)[0] == "passed"


def test_the_page_lists_every_refusal_and_the_log_is_gone_on_from(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        '{"name": "node/a", "verdict": "wrong", "by": "", "reason": "first"}\n'
        '{"name": "node/a", "verdict": "passed", "by": "", "reason": ""}\n'
        '{"name": "node/b", "verdict": "refused", "by": "triton", "reason": "a | b"}\n'
    )
    verdicts = run.read(log, ["node/a", "node/b", "node/c"])
    assert run.summary(verdicts) == "1 passed, 1 refused with a reason, 0 wrong"
    assert "| node/b | a \\| b |" in run.page(verdicts, 3)
    assert "(2 of 3 cases)" in run.page(verdicts, 3)


@pytest.mark.long
def test_every_kind_of_case_is_there() -> None:
    names = onnx_cases.names()
    assert {name.partition("/")[0] for name in names} == {"light", "node", *onnx_cases.FOLDERS}
    assert set(PASS) | set(REFUSED) <= set(names)
