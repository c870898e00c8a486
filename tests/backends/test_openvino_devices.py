"""A device string of OpenVINO's is no other precision, and its CPU is told what a plain CPU is told."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime
import openvino as ov
import pytest
from onnx import TensorProto, helper

import tritonpm
from tests.support.backend_models import model, xy

DEVICES = ["CPU", "AUTO", "AUTO:CPU", "HETERO:CPU", "MULTI:CPU", "BATCH:CPU"]
TOLD = {
    "PERFORMANCE_HINT": "THROUGHPUT",
    "INFERENCE_NUM_THREADS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
    "NUM_STREAMS": "1",
}


def _module():
    """devices.py as a server runs it: alone, without tritonpm."""
    path = Path(tritonpm.__file__).parent / "backends/openvino/devices.py"
    spec = importlib.util.spec_from_file_location("openvino_devices", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _product(size: int = 256):
    """FP32 `y = x @ w`, whose answers tell bf16 from FP32."""
    weights = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32) / 16
    return model(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        {"x": (TensorProto.FLOAT, ["batch", size])},
        {"y": (TensorProto.FLOAT, ["batch", size])},
        weights=weights,
    )


@pytest.mark.parametrize("device", DEVICES)
def test_the_cpu_behind_every_device_is_told_the_same(device):
    core = ov.Core()
    read = core.read_model(_product().SerializeToString())
    compiled = core.compile_model(read, device, _module().properties_for(device, TOLD))
    try:
        chosen = compiled.get_property("DEVICE_PROPERTIES")["CPU"]
    except RuntimeError:  # a plain device has its properties itself
        chosen = {name: compiled.get_property(name) for name in TOLD}
    assert str(chosen["INFERENCE_PRECISION_HINT"]) == str(ov.Type.f32)
    assert int(chosen["INFERENCE_NUM_THREADS"]) == 1
    assert str(chosen["NUM_STREAMS"]) == "1"
    assert "THROUGHPUT" in str(chosen["PERFORMANCE_HINT"])
    assert not chosen["ENABLE_CPU_PINNING"]


def test_what_is_no_cpu_gets_what_its_plugin_knows():
    """Such devices are not on every machine, so this holds the table itself."""
    told = _module().properties_for
    assert told("GPU.1", TOLD) == {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    assert told("BATCH:GPU(4)", TOLD) == told("GPU", TOLD)
    assert told("GPU", {**TOLD, "INFERENCE_PRECISION_HINT": "bf16"}) == {"PERFORMANCE_HINT": "THROUGHPUT"}
    assert told("NPU", TOLD) == {"PERFORMANCE_HINT": "THROUGHPUT"}
    assert told("HETERO:GPU,CPU", TOLD)["DEVICE_PROPERTIES"]["GPU"] == {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.mark.server
@pytest.mark.parametrize("device", DEVICES)
def test_served_fp32_is_onnx_runtimes(triton, device):
    name, product = f"precise-{device.replace(':', '-')}", _product()
    text = xy("openvino", [256], batch=8, TARGET_DEVICE=device, more="instance_group { count: 1 kind: KIND_AUTO }")
    triton.load(name, product, text)
    x = np.random.default_rng(1).standard_normal((8, 256)).astype(np.float32)
    session = onnxruntime.InferenceSession(product.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(triton.infer(name, x=x)["y"], session.run(None, {"x": x})[0], atol=1e-5, rtol=0)
