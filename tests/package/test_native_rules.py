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
