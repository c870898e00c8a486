"""OpenVINO IR from every format that OpenVINO reads: the answers are those of the framework that the model is from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.support import networks
from tests.support.command import TRITONPM
from tests.support.converting import quiet
from tests.support.repositories import MODEL
from tritonpm.convert import runtimes
from tritonpm.convert.openvino_ir import settled
from tritonpm.core.errors import OptimisationError, PackageError
from tritonpm.core.types import Format, Signature, Tensor
from tritonpm.operations.optimize.convert_file import ConversionView, convert
from tritonpm.package.signature import read_signature

FIXTURES = Path(__file__).parent / "fixtures"


def to_openvino(source: Path, output: Path, **told: object) -> ConversionView:
    return convert(source, "openvino", output, progress=quiet, **told)


@pytest.mark.parametrize(
    ("source", "recorded", "precision"),
    [
        pytest.param("saved_model", "io.npz", "FP32", marks=pytest.mark.long),
        pytest.param("net.keras", "io.npz", "FP32", marks=pytest.mark.long),
        ("net.tflite", "io.npz", "FP32"),
        ("net.tflite", "io.npz", "FP16"),  # weights are halved after all of these were read into one form
        pytest.param("paddle/net.pdmodel", "paddle/io.npz", "FP32", marks=pytest.mark.long),
    ],
)
def test_a_framework_s_model_answers_as_the_framework_did(
    source: str, recorded: str, precision: str, tmp_path: Path
) -> None:
    view = to_openvino(FIXTURES / source, tmp_path / "out", precision=precision)
    format, signature = read_signature(tmp_path / "out/model.xml")
    assert format is Format.OPENVINO
    with np.load(FIXTURES / recorded) as told:
        run = runtimes.load(Format.OPENVINO, Path(view.model))
        (answer,) = run({signature.inputs[0].name: told["x"]}).values()
        assert np.allclose(answer, told["y"], atol=1e-5 if precision == "FP32" else 1e-2)
    if source in ("net.keras", "net.tflite"):
        assert view.agreement.state == "verified"
    else:
        assert view.agreement.state == "unverified"  # the framework is not here, and that is said
        assert "is not installed, so it was not run (pip install" in view.agreement.reason
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.xml", "model.bin"}


@pytest.mark.long
def test_a_torch_export_keeps_its_names_and_is_verified(tmp_path: Path) -> None:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.layer(image))

    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(Net().eval(), (torch.zeros(2, 4),), dynamic_shapes={"image": {0: batch}})
    torch.export.save(program, tmp_path / "net.pt2")
    view = to_openvino(tmp_path / "net.pt2", tmp_path / "out")
    assert [t.name for t in read_signature(Path(view.model))[1].inputs] == ["image"]
    assert view.agreement.state == "verified", view.agreement.reason
    assert view.agreement.inputs.endswith("batch 8")


@pytest.mark.long
def test_fp16_weights_halve_the_file_and_the_layout_of_an_image_is_recorded_on_inputs_only(tmp_path: Path) -> None:
    import openvino

    light = networks.LIGHT / "light_shufflenet.onnx"
    whole = to_openvino(light, tmp_path / "fp32")
    half = to_openvino(light, tmp_path / "fp16", precision="FP16")
    assert half.agreement.state == "unverified", "the answers of a light network are all alike"
    assert half.bytes < whole.bytes
    model = openvino.Core().read_model(whole.model)
    assert str(model.get_parameters()[0].get_layout()) == "[N,C,H,W]"
    assert model.get_results()[0].get_layout().empty
    assert whole.steps[0].details["layouts"] == {model.inputs[0].get_any_name(): "NCHW"}


def test_a_folder_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    (tmp_path / "m.onnx").write_bytes(MODEL)
    with pytest.raises(PackageError, match="not an empty folder"):
        to_openvino(tmp_path / "m.onnx", tmp_path / "out")


@pytest.mark.parametrize(
    "name", [pytest.param("net.keras", marks=pytest.mark.long), "net.tflite", "net.pdmodel", "net.onnx"]
)
def test_garbage_is_refused_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"this is no model at all" * 10)
    with pytest.raises((OptimisationError, PackageError)):
        to_openvino(tmp_path / name, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_sizes_that_the_original_leaves_open_are_those_of_the_ir() -> None:
    """What PyTorch's exporter names and OpenVINO works out: a server holds the config to the model."""
    import openvino

    model = openvino.Core().read_model(onnx_open_ended())
    left_open = Signature((Tensor("x", "FP32", ("batch", 4)),), (Tensor("y", "FP32", ("batch", "Concaty_dim_1")),))
    assert [tensor.shape for tensor in settled(left_open, model).outputs] == [("batch", 8)]


def onnx_open_ended() -> bytes:
    """y = x beside x, whose width the file does not say."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "Concaty_dim_1"])
    graph = helper.make_graph([helper.make_node("Concat", ["x", "x"], ["y"], axis=1)], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.long
def test_nobody_is_told_of_a_conversion(tmp_path: Path) -> None:
    """OpenVINO's converter, and NNCF, tell their makers where nothing keeps them from it; the kernel sees all they say."""
    model = networks.convolution(tmp_path / "net.onnx")
    (tmp_path / "samples").mkdir()
    shape = [size if isinstance(size, int) else 4 for size in read_signature(model)[1].inputs[0].shape or ()]
    name = read_signature(model)[1].inputs[0].name
    np.savez(tmp_path / "samples/a.npz", **{name: np.random.default_rng(0).random(shape, np.float32)})
    arguments = ["convert", model, "--to", "openvino", "--precision", "int8", "--calibration", tmp_path / "samples"]
    tracer = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", tmp_path / "calls"]
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    command = [*tracer, *TRITONPM, *arguments, "--output", tmp_path / "out"]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls  # the processes speak with each other
    assert not [call for call in calls if "AF_INET" in call]
