"""An IR that we write computes in FP32, also where OpenVINO is left to itself, as Triton's native backend leaves it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import openvino as ov
import pytest
from openvino import opset8 as op

from tritonpm.convert.precise import keep_precision
from tritonpm.core.tensors import Array


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A network with a loop-free tail of every kind that OpenVINO would compute in bf16."""
    random = np.random.default_rng(0)
    image = op.parameter([-1, 3, 16, 16], np.float32, name="image")
    kernels = op.constant(random.standard_normal((8, 3, 3, 3)).astype(np.float32))
    convolved = op.convolution(image, kernels, [1, 1], [1, 1], [1, 1], [1, 1])
    pooled = op.reduce_mean(op.relu(convolved), op.constant([2, 3]), False)
    weights = op.constant(random.standard_normal((8, 64)).astype(np.float32))
    scores = op.softmax(op.matmul(pooled, weights, False, False), 1)
    model = ov.Model([op.result(scores)], [image], "net")
    ov.save_model(model, str(tmp_path / "model.xml"), compress_to_fp16=False)
    return tmp_path / "model.xml"


def answer(model: Path, **properties: str) -> Array:
    compiled = ov.Core().compile_model(str(model), "CPU", properties)
    return np.array(compiled([np.random.default_rng(1).standard_normal((2, 3, 16, 16)).astype(np.float32)])[0])


def marks(model: Path) -> dict[str, int]:
    layers = ElementTree.parse(model).iter("layer")
    return {str(layer.get("name")): len(layer.findall("rt_info/attribute[@name='precise']")) for layer in layers}


def test_a_marked_ir_computes_in_fp32_on_every_cpu(written: Path) -> None:
    full = answer(written, INFERENCE_PRECISION_HINT="f32")
    plain = answer(written)
    keep_precision(written, fp32=True)
    assert (answer(written) == full).all()
    lowered = "bf16" in str(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")).lower()
    assert lowered or (plain == full).all()  # where there is no bf16 there was nothing to keep


def test_every_layer_that_computes_is_marked_once(written: Path) -> None:
    keep_precision(written, fp32=True)
    keep_precision(written, fp32=True)
    kinds = {layer.get("name"): layer.get("type") for layer in ElementTree.parse(written).iter("layer")}
    assert {name: kinds[name] != "Const" for name in kinds} == {n: bool(count) for n, count in marks(written).items()}
    assert max(marks(written).values()) == 1


def test_bf16_takes_the_marks_away(written: Path) -> None:
    keep_precision(written, fp32=True)
    keep_precision(written, fp32=False)
    assert set(marks(written).values()) == {0}
