"""What the verdicts on the native backends' folders do not hold: rules with more than one cause."""

from __future__ import annotations

import pytest

from tritonpm.package.native_rules import FileTensors, Told, problems

CONFIG = {
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["-1", "3"]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["-1", "3"]}],
}


@pytest.mark.parametrize(("of_x", "of_y", "refused"), [("NC", "NC", True), ("NC", "", False), ("", "", False)])
def test_a_batch_counts_where_every_layout_names_it(of_x: str, of_y: str, refused: bool) -> None:
    """What `optimize` writes has layouts for its inputs only, and loads on the native backend."""
    model = FileTensors({"x": Told("TYPE_FP32", [-1, 3], of_x)}, {"y": Told("TYPE_FP32", [-1, 3], of_y)})
    assert bool(list(problems("openvino", CONFIG, model))) == refused


def said(backend: str, model: FileTensors, **changes: object) -> bool:
    return bool(list(problems(backend, {**CONFIG, **changes}, model)))


def tensors(x: Told, y: Told | None = None, *, inferred: bool = False, **more: Told) -> FileTensors:
    return FileTensors({"x": x, **more}, {"y": y or x}, inferred=inferred)


ROWS = Told("TYPE_FP32", [-1, 3])
START = {"name": "START", "control": [{"fp32_false_true": [0.0, 1.0]}]}  # the first kind is the one that is not written
BATCHED = {
    "max_batch_size": 4,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["3"]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["3"]}],
}


def entries(dims: list[str]) -> dict[str, object]:
    sides = {"input": "x", "output": "y"}
    return {kind: [{"name": name, "data_type": "TYPE_FP32", "dims": dims}] for kind, name in sides.items()}


@pytest.mark.parametrize(
    ("start", "refused"),
    [
        (Told("TYPE_FP32", [-1, 1]), False),
        (Told("TYPE_FP32", [4, 1]), False),
        (Told("TYPE_INT32", [-1, 1]), True),
        (Told("TYPE_FP32", [-1, 2]), True),
        (None, True),
    ],
)
def test_a_control_is_an_input_of_its_type_with_one_value_a_row(start: Told | None, refused: bool) -> None:
    model = tensors(ROWS, **({"START": start} if start else {}))
    assert said("onnxruntime", model, **BATCHED, sequence_batching={"control_input": [START]}) == refused


@pytest.mark.parametrize("size", [0, 4])
@pytest.mark.parametrize(("dims", "refused"), [(["1"], False), (["1", "1"], False), (["2"], True), (["-1"], True)])
def test_a_scalar_is_any_number_of_ones(size: int, dims: list[str], refused: bool) -> None:
    """So is a tensor without a rank, which ONNX Runtime tells alike."""
    for scalar in (Told("TYPE_FP32", []), Told("TYPE_FP32", None)):
        assert said("onnxruntime", tensors(scalar, inferred=True), **entries(dims), max_batch_size=size) == refused


@pytest.mark.parametrize(
    ("text", "refused"), [("1", False), ("01x", False), ("-1", True), ("2", True), ("9" * 11, True)]
)
def test_numbers_are_read_as_stoi_does(text: str, refused: bool) -> None:
    assert said("onnxruntime", tensors(ROWS), parameters={"execution_mode": {"string_value": text}}) == refused


def test_an_output_that_is_scattered_has_dims_of_its_own() -> None:
    wide = {**BATCHED, "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["7"]}]}
    assert said("onnxruntime", tensors(ROWS), **wide)
    assert not said("onnxruntime", tensors(ROWS), **wide, batch_output=[{"target_name": ["y"]}])


@pytest.mark.parametrize(("size", "refused"), [(0, True), (4, False)])
def test_openvino_compares_no_open_dim_of_a_batched_input(size: int, refused: bool) -> None:
    fixed = Told("TYPE_FP32", [-1, 3] if size else [3])
    config = {"input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["-1"]}], "output": BATCHED["output"]}
    assert said("openvino", tensors(fixed), **config, max_batch_size=size) == refused


def test_openvino_runs_no_input_without_a_rank() -> None:
    assert said("openvino", tensors(Told("TYPE_FP32", None), ROWS))


@pytest.mark.parametrize(
    ("kind", "refused"), [("KIND_CPU", False), ("KIND_AUTO", False), ("KIND_GPU", True), ("KIND_MODEL", True)]
)
def test_kinds_of_openvino(kind: str, refused: bool) -> None:
    assert said("openvino", tensors(ROWS), instance_group=[{"kind": kind}]) == refused
