"""Models of other frameworks are converted on their way in, and Python models bring their own environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.models import scaled
from tests.support.workspaces import opened, served
from tritonpm.core.errors import OptimisationError, UnsafeError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.server import connect

pytestmark = pytest.mark.server
FIXTURES = Path(__file__).parents[1] / "convert/fixtures"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network as a PyTorch export of any batch, and as TorchScript, with what it answers."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.linear = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.linear(self.convolution(image).mean((2, 3))))

    folder = tmp_path_factory.mktemp("programs")
    torch.manual_seed(1)
    net, image = Net().eval(), torch.rand(2, 3, 16, 16)
    any_batch = {"image": {0: torch.export.Dim("batch", min=1, max=64)}}
    torch.export.save(torch.export.export(net, (image,), dynamic_shapes=any_batch), folder / "net.pt2")
    torch.jit.save(torch.jit.trace(net, image), folder / "traced.pt")
    np.savez(folder / "io.npz", x=image.numpy(), y=net(image).detach().numpy())
    return folder


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with served(tmp_path_factory.mktemp("converted") / "workspace") as context:
        yield context


@pytest.mark.long
def test_what_was_converted_on_its_way_in_answers_as_its_framework(context: Context, programs: Path) -> None:
    heard: list[str] = []
    telling = opened(context.workspace.root, warn=heard.append)
    sources = [
        (programs / "net.pt2", programs),
        (programs / "traced.pt", programs),
        (FIXTURES / "net.tflite", FIXTURES),
    ]
    for index, (source, recorded) in enumerate(sources):
        name = f"{source.stem}{index}"
        import_package(telling, source, name=name, allow_code=recorded is programs)
        assert heard[-1].partition("openvino, ")[2].startswith("verified against"), heard
        load(context, name, timeout=600)
        (stage,) = context.catalogue.get(name).package.stages
        with np.load(recorded / "io.npz") as told, connect(context) as client:
            given, expected = told["x"], told["y"]
            (answer,) = client.infer(name, {stage.signature.inputs[0].name: given}).values()
            assert np.allclose(answer, expected, atol=1e-4)
    (stage,) = context.catalogue.get("net0").package.stages
    assert [(t.name, t.shape) for t in stage.signature.inputs] == [("image", ("?", 3, 16, 16))]


def test_a_folder_brings_its_meaning_and_the_same_model_is_the_same_package(context: Context, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    shutil.copy(FIXTURES / "net.tflite", tmp_path / "letters")
    said = {"architectures": ["AnyForImageClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}
    (tmp_path / "letters/config.json").write_text(json.dumps(said))
    digests = {import_package(context, tmp_path / "letters", name=name, again=True).digest for name in ("one", "two")}
    assert len(digests) == 1
    assert context.catalogue.get("one").package.stages[0].signature.labels == ("a", "b", "c")


@pytest.mark.long
def test_what_is_refused_before_or_instead_of_a_conversion(
    context: Context, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnsafeError, match=r"is a PyTorch export, which is a program.*--allow-code"):
        import_package(context, programs / "net.pt2")
    shutil.copytree(FIXTURES / "saved_model", tmp_path / "linked")
    (tmp_path / "linked/passwd").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeError, match="'passwd' is a symbolic link"):
        import_package(context, tmp_path / "linked")
    (tmp_path / "keras.py").write_text("raise ModuleNotFoundError(\"No module named 'keras'\", name='keras')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(OptimisationError, match=r'keras is not installed; pip install "tritonpm\[frameworks\]"'):
        import_package(context, FIXTURES / "net.keras")
    assert not list(context.workspace.staging.iterdir())


PREPARE = """backend: "python"
max_batch_size: 8
input { name: "X" data_type: TYPE_FP32 dims: 4 }
output { name: "m" data_type: TYPE_FP32 dims: 4 }
instance_group { count: 1 kind: KIND_CPU }
parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }
"""
PROGRAM = """import triton_python_backend_utils as pb_utils
from only_in_its_environment import FACTOR


class TritonPythonModel:
    def execute(self, requests):
        x = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("m", one * one.dtype.type(FACTOR))]) for one in x]
"""


def environment(folder: Path, archive: Path) -> None:
    """A packed one, as venv-pack makes it: it activates itself wherever it is unpacked."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "only_in_its_environment.py").write_text("FACTOR = 3\n")
    (packages / "numpy.pth").write_text(str(Path(np.__file__).parents[1]))
    (folder / "bin/activate").write_text('export PATH="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd):$PATH"\n')
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, ".")


def test_a_python_model_with_its_environment_is_a_stage_of_a_cascade(context: Context, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "prepare/1").mkdir(parents=True)
    (source / "prepare/config.pbtxt").write_text(PREPARE)
    (source / "prepare/1/model.py").write_text(PROGRAM)
    environment(tmp_path / "env", source / "prepare/env.tar.gz")
    (source / "double.onnx").write_bytes(scaled(2.0, source="m"))
    stages = "[{name: prepare, folder: prepare}, {name: double, model: double.onnx}]"
    (source / "package.yaml").write_text(f'schema: 1\nname: sextuple\nversion: "1"\nstages: {stages}\n')
    with pytest.raises(UnsafeError, match="--allow-code"):
        import_package(context, source)
    import_package(context, source, allow_code=True)
    load(context, "sextuple", timeout=600)
    with connect(context) as client:
        answer = client.infer("sextuple", {"X": np.ones((2, 4), np.float32)})
    assert np.array_equal(answer["y"], np.full((2, 4), 6, np.float32))
