"""How stages are joined, and what is refused with stage and tensor named."""

from __future__ import annotations

import pytest

from tests.support.catalogued import package, stage
from tritonpm.core.errors import RenderError
from tritonpm.repository.cascade import require_unbound, wire


def test_single_output_joins_single_input() -> None:
    wiring = wire(
        package(stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}), stage("c", {"in": ("b", 4)}, {"out": ("b", 2)}))
    )
    assert [(e.stage, e.tensor, e.source_stage, e.source_tensor) for e in wiring.edges] == [
        ("a", "x", "", "x"),
        ("c", "in", "a", "y"),
    ]
    assert [t.name for t in wiring.inputs] == ["x"]
    assert [(name, where) for name, where, _ in wiring.outputs] == [("out", "c")]


def test_a_name_goes_before_the_position_and_reaches_back() -> None:
    first = stage("a", {"x": ("b", 4)}, {"y": ("b", 4), "size": ("b", 2)})
    wiring = wire(
        package(
            first,
            stage("b", {"y": ("b", 4)}, {"z": ("b", 4)}),
            stage("c", {"size": ("b", 2), "z": ("b", 4)}, {"o": ("b",)}),
        )
    )
    edges = {(e.stage, e.tensor): (e.source_stage, e.source_tensor) for e in wiring.edges}
    assert edges["c", "size"] == ("a", "size")
    assert edges["c", "z"] == ("b", "z")


def test_bindings_say_otherwise_and_may_take_the_packages_input() -> None:
    second = stage("b", {"image": ("b", 4), "mask": ("b", 4)}, {"z": ("b", 4)}, bindings={"image": "x", "mask": "a.y"})
    wiring = wire(package(stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}), second))
    edges = {(e.stage, e.tensor): (e.source_stage, e.source_tensor) for e in wiring.edges}
    assert edges["b", "image"] == ("", "x")
    assert edges["b", "mask"] == ("a", "y")


def test_outputs_that_nobody_takes_are_the_packages() -> None:
    first = stage("a", {"x": ("b", 4)}, {"y": ("b", 4), "score": ("b", 1)})
    wiring = wire(package(first, stage("b", {"y": ("b", 4)}, {"score": ("b", 1)})))
    assert [name for name, _, _ in wiring.outputs] == ["a.score", "b.score"]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (
            stage("b", {"in": ("b", 5)}, {"o": ("b",)}),
            r"input 'in' \(FP32 \[b, 5\]\) of stage b is fed by nothing .*a.y",
        ),
        (stage("b", {"y": ("b", 5)}, {"o": ("b",)}), r"a.y has shape \[b, 4\], but b.y takes \[b, 5\]"),
        (stage("b", {"y": ("b", 4)}, {"o": ("b",)}, dtype="INT64"), "a.y is FP32, but b.y takes INT64"),
        (stage("b", {"i": ("b", 4)}, {"o": ("b",)}, bindings={"i": "a.q"}), "stage a has only y"),
        (stage("b", {"i": ("b", 4)}, {"o": ("b",)}, bindings={"i": "b.o"}), "itself: that is a cycle"),
        (stage("b", {"i": ("b", 4)}, {"o": ("b",)}, bindings={"j": "a.y"}), "stage b has no input 'j'"),
        (stage("b", {"i": ("b", 4)}, {"o": ("b",)}, bindings={"i": "other"}), "b takes nothing from an earlier stage"),
        (stage("b", {"i": ("b", 4), "j": ("b", 4)}, {"o": ("b",)}), "fed by nothing"),
    ],
    ids=["shape", "named-shape", "dtype", "no-output", "itself", "no-input", "not-joined", "two-inputs"],
)
def test_refusals_name_the_edge(second: object, words: str) -> None:
    with pytest.raises(RenderError, match=words):
        wire(package(stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}), second))  # type: ignore[arg-type]


def test_stages_stand_side_by_side_on_one_input_and_are_joined_again() -> None:
    wiring = wire(
        package(
            stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}),
            stage("b", {"i": ("b", 4)}, {"z": ("b", 4)}, bindings={"i": "x"}),
            stage("c", {"y": ("b", 4), "z": ("b", 4)}, {"o": ("b",)}),
        )
    )
    assert [(e.stage, e.tensor, e.source_stage, e.source_tensor) for e in wiring.edges] == [
        ("a", "x", "", "x"),
        ("b", "i", "", "x"),
        ("c", "y", "a", "y"),
        ("c", "z", "b", "z"),
    ]
    assert [name for name, _, _ in wiring.outputs] == ["o"]


def test_two_inputs_are_one_package_once_a_stage_takes_of_both_sides() -> None:
    left = stage("left", {"l": ("b", 4)}, {"y": ("b", 4)})
    right = stage("right", {"r": ("b", 4)}, {"z": ("b", 4)}, bindings={"r": "r"})
    both = stage("both", {"y": ("b", 4), "z": ("b", 4)}, {"o": ("b",)})
    assert [tensor.name for tensor in wire(package(left, right, both)).inputs] == ["l", "r"]
    with pytest.raises(RenderError, match="stage right takes nothing"):
        wire(package(left, right))


def test_an_input_that_several_take_is_as_narrow_as_all_of_them() -> None:
    wiring = wire(
        package(
            stage("a", {"x": ("b", "w", 3)}, {"y": ("b", 4)}),
            stage("b", {"x": ("b", 8, "c")}, {"z": ("b", 5)}, bindings={"x": "x"}),
        )
    )
    assert [tensor.shape for tensor in wiring.inputs] == [("b", 8, 3)]
    other = stage("b", {"x": ("b", 8, 4)}, {"z": ("b", 5)}, bindings={"x": "x"})
    with pytest.raises(RenderError, match=r"the package's input x has shape .*b.x takes"):
        wire(package(stage("a", {"x": ("b", "w", 3)}, {"y": ("b", 4)}), other))


def test_a_later_stage_is_a_cycle() -> None:
    first = stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}, bindings={"x": "b.o"})
    with pytest.raises(RenderError, match="the later stage b: that is a cycle"):
        wire(package(first, stage("b", {"y": ("b", 4)}, {"o": ("b", 4)})))


def test_models_that_all_call_their_input_alike_are_joined() -> None:
    stages = [stage(name, {"input": ("b", 4)}, {"output": ("b", 4)}) for name in ("a", "b")]
    wiring = wire(package(*stages))
    assert [(e.stage, e.source_stage, e.source_tensor) for e in wiring.edges] == [
        ("a", "", "input"),
        ("b", "a", "output"),
    ]


def test_a_tensor_within_never_has_an_inputs_name() -> None:
    wiring = wire(
        package(stage("a", {"a.y": ("b", 4)}, {"y": ("b", 4)}), stage("c", {"in": ("b", 4)}, {"out": ("b",)}))
    )
    assert wiring.names["a", "y"] != "a.y"
    names = [tensor.name for tensor in wiring.inputs] + list(wiring.names.values())
    assert len(names) == len(set(names))


def test_a_binding_to_a_stage_that_is_not_there_is_no_new_input() -> None:
    second = stage("b", {"y": ("b", 4), "z": ("b", 4)}, {"o": ("b",)}, bindings={"z": "detct.y"})
    with pytest.raises(RenderError, match="no stage 'detct'"):
        wire(package(stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}), second))


def test_an_input_with_a_dot_in_its_name_may_be_bound() -> None:
    second = stage("b", {"y": ("b", 4), "z": ("b", 4)}, {"o": ("b",)}, bindings={"z": "input.1"})
    wiring = wire(package(stage("a", {"input.1": ("b", 4)}, {"y": ("b", 4)}), second))
    assert ("b", "z", "", "input.1") in [(e.stage, e.tensor, e.source_stage, e.source_tensor) for e in wiring.edges]


@pytest.mark.parametrize(
    ("bindings", "sentence"),
    [({"nosuch": "x"}, "has no input 'nosuch'"), ({"x": "a.y"}, "no other stage"), ({"x": "z"}, "no other stage")],
)
def test_a_single_stage_binds_nothing_that_is_not_there(bindings: dict[str, str], sentence: str) -> None:
    with pytest.raises(RenderError, match=sentence):
        require_unbound(package(stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}, bindings=bindings)))
    require_unbound(package(stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}, bindings={"x": "x"})))
