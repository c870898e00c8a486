"""Which ensembles are cascades, and why the others are none."""

from __future__ import annotations

from typing import Any

import pytest

from tritonpm.core.types import Format, Package, Signature, Stage, Task, Tensor
from tritonpm.package.config import parsed
from tritonpm.repository.cascade import wire
from tritonpm.repository.ensemble_flow import NoCascadeError, flow

_IN = 'input { name: "%s" data_type: TYPE_FP32 dims: [ 4 ] }'
_OUT = 'output { name: "%s" data_type: TYPE_FP32 dims: [ 4 ] }'
MEMBER = f'backend: "onnxruntime" max_batch_size: 8 {_IN % "x"} {_OUT % "y"}'
STEP = (
    'step {{ model_name: "{0}" model_version: -1 input_map {{ key: "x" value: "{1}" }} '
    'output_map {{ key: "y" value: "{2}" }} }}'
)


def joined(*steps: tuple[str, str, str], more: str = "", batch: int = 8, given: str = "B") -> str:
    said = " ".join(STEP.format(*step) for step in steps)
    ends = f"{_IN % 'A'} {_OUT % given}"
    return f'name: "e" platform: "ensemble" max_batch_size: {batch} {ends} ensemble_scheduling {{ {said} }} {more}'


def cascade(text: str, member: str = MEMBER) -> list[tuple[str, Stage]]:
    sides = (Tensor("x", "FP32", ("batch", 4)),), (Tensor("y", "FP32", ("batch", 4)),)
    stage = Stage("model", Task.OTHER, Format.ONNX, "m", ("m",), Signature(*sides))
    configs: dict[str, Any] = {name: parsed(member, name) for name in ("one", "two")}
    return flow(parsed(text, "e"), dict.fromkeys(configs, stage), configs)


# As tritonpm itself renders a cascade: its mark, and dots in the names of what goes from stage to stage.
MARK = 'parameters { key: "tritonpm_revision" value { string_value: "0" } }'


def test_steps_become_stages_in_the_order_of_their_tensors() -> None:
    stages = cascade(joined(("two", "one.t", "B"), ("one", "A", "one.t"), more=MARK))
    assert [(model, stage.name, stage.bindings, stage.outputs) for model, stage in stages] == [
        ("one", "one", (("x", "A"),), ()),
        ("two", "two", (("x", "one.y"),), (("y", "B"),)),
    ]


def test_a_model_may_be_there_twice_and_a_tensor_given_on_its_way() -> None:
    text = joined(("one", "A", "B"), ("one", "B", "C"), more=_OUT % "C")
    stages = [stage for _, stage in cascade(text)]
    assert [(stage.name, stage.outputs) for stage in stages] == [("one", (("y", "B"),)), ("one-2", (("y", "C"),))]


@pytest.mark.parametrize(
    ("text", "member", "reason"),
    [
        (joined(("one", "A", "B"), more='parameters { key: "a" value { string_value: "b" } }'), MEMBER, "parameters"),
        (
            joined(("one", "A", "B")).replace("step {", "max_inflight_requests: 1 step {"),
            MEMBER,
            "says max_inflight_requests",
        ),
        (joined(("one", "A", "C"), ("two", "C", "B"), more=_OUT % "C"), MEMBER, "in another order"),
        (joined(("one", "A", "B"), batch=4), MEMBER, "max_batch_size is 4, and that of its members 8"),
        (joined(("one", "A", "B")).replace("model_version: -1", "model_version: 2"), MEMBER, "one version of one"),
        (joined(("one", "A", "B.c"), given="B.c"), MEMBER, "a dot in its name"),
        (joined(("one", "A", "B")).replace("dims: [ 4 ]", "dims: [ -1 ]", 1), MEMBER, "input A is not as its members"),
        (joined(("one", "A", "B")), f"{MEMBER} sequence_batching {{ }}", "handles sequences"),
        (
            joined(("one", "A", "B")),
            f"{MEMBER} model_transaction_policy {{ decoupled: true }}",
            "may send any number of responses",
        ),
        (joined(("one", "A", "B")), joined(("two", "A", "B")), "is an ensemble itself"),
        (joined(("one", "t", "B"), ("two", "B", "t")), MEMBER, "nothing gives what one takes"),
    ],
)
def test_what_a_cascade_cannot_say_keeps_it_an_ensemble(text: str, member: str, reason: str) -> None:
    with pytest.raises(NoCascadeError, match=reason):
        cascade(text, member)


def test_what_is_called_otherwise_for_clients_is_what_they_get() -> None:
    stages = tuple(stage for _, stage in cascade(joined(("one", "A", "t"), ("two", "t", "B"))))
    wiring = wire(Package("p", "1", "", "", stages, (), ""))
    assert [(public, stage) for public, stage, _ in wiring.outputs] == [("B", "two")]
