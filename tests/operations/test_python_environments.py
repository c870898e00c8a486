"""A Python model with a requirements.txt brings the environment that pip makes of it."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from tests.support.models import scaled
from tests.support.workspaces import served
from tritonpm.convert.python_environment import PYTHON
from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.server import connect

pytestmark = pytest.mark.server

CONFIG = """backend: "python"
max_batch_size: 8
input { name: "X" data_type: TYPE_FP32 dims: 4 }
output { name: "m" data_type: TYPE_FP32 dims: 4 }
instance_group { count: 1 kind: KIND_CPU }"""
PROGRAM = """import triton_python_backend_utils as pb_utils
from only_in_its_environment import FACTOR


class TritonPythonModel:
    def execute(self, requests):
        x = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("m", one * one.dtype.type(FACTOR))]) for one in x]
"""


def wheel(folder: Path, name: str, version: str, files: dict[str, bytes], tag: str = "py3-none-any") -> Path:
    """A package as an index has it."""
    info = f"{name}-{version}.dist-info"
    about = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{path},,\n" for path in (*files, *about, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for inner, content in {**files, **about, f"{info}/RECORD": record.encode()}.items():
            packed.writestr(inner, content)
    return path


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of one package of ours, and of the NumPy of this environment."""
    folder, numpy = tmp_path_factory.mktemp("index"), metadata.distribution("numpy")
    inside = [file for file in numpy.files or () if file.parts[0] != ".." and "tests" not in file.parts]
    files = {str(file): Path(str(file.locate())).read_bytes() for file in inside if ".dist-info" not in str(file)}
    wheel(folder, "numpy", numpy.version, {path: raw for path, raw in files.items() if not path.endswith(".pyc")})
    wheel(folder, "only_in_its_environment", "1.5", {"only_in_its_environment.py": b"FACTOR = 3\n"})
    return folder


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with served(tmp_path_factory.mktemp("requiring") / "workspace") as context:
        yield context


@pytest.fixture
def from_index(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


def requiring(folder: Path, requirements: str) -> Path:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1/model.py").write_text(PROGRAM)
    (folder / "requirements.txt").write_text(requirements)
    return folder


@pytest.mark.long
@pytest.mark.usefixtures("from_index")
def test_requirements_become_an_environment_that_is_a_file_of_the_package(context: Context, tmp_path: Path) -> None:
    source = tmp_path / "in"
    requiring(source / "prepare", "only-in-its-environment\n")
    (source / "double.onnx").write_bytes(scaled(2.0, source="m"))
    stages = "[{name: prepare, folder: prepare}, {name: double, model: double.onnx}]"
    (source / "package.yaml").write_text(f'schema: 1\nname: sextuple\nversion: "1"\nstages: {stages}\n')
    with pytest.raises(UnsafeError, match="--allow-code"):
        import_package(context, source)
    told: list[str] = []
    first = import_package(replace(context, warn=told.append), source, allow_code=True)
    assert any(f"of 2 packages for Python {PYTHON} (numpy==" in sentence for sentence in told)
    package = context.catalogue.get("sextuple").package
    lock = context.blobs.path(package.file("prepare/requirements.lock").digest).read_text()
    assert "only-in-its-environment==1.5 --hash=sha256:" in lock.replace("_", "-")
    again = import_package(context, source, name="again", again=True, allow_code=True)
    assert again.digest == first.digest  # what was installed is all that it is made of
    load(context, "sextuple", timeout=600)
    with connect(context) as client:
        answer = client.infer("sextuple", {"X": np.ones((2, 4), np.float32)})
    assert np.array_equal(answer["y"], np.full((2, 4), 6, np.float32))


@pytest.mark.long
@pytest.mark.usefixtures("from_index")
def test_hashes_are_demanded_where_it_says_them(context: Context, index: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(next(index.glob("only*.whl")).read_bytes()).hexdigest()
    alone = f"only-in-its-environment==1.5 --hash=sha256:{digest}\n"
    with pytest.raises(PackageError, match="it names no numpy, without which no model starts"):
        import_package(context, requiring(tmp_path / "prepare", alone), allow_code=True)
    newer = wheel(tmp_path, "numpy", "2.9.1", {"numpy/__init__.py": b""})
    pinned = f"numpy @ {newer.as_uri()} --hash=sha256:{hashlib.sha256(newer.read_bytes()).hexdigest()}\n"
    with pytest.raises(
        PackageError, match=r"it names numpy==2\.9\.1, and the server's Python backend takes numpy<2 only"
    ):
        import_package(context, requiring(tmp_path / "newer", alone + pinned), allow_code=True)


@pytest.mark.usefixtures("from_index")
@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        ("nothing-of-the-kind\n", "No matching distribution found for nothing-of-the-kind"),
        (f"only-in-its-environment==1.5 --hash=sha256:{'0' * 64}\n", "DO NOT MATCH THE HASHES"),
        ("numpy>=2\n", "conflicting"),
        ("only in its environment\n", "Invalid requirement"),
    ],
)
def test_what_pip_refuses_is_a_sentence(context: Context, tmp_path: Path, requirements: str, reason: str) -> None:
    with pytest.raises(PackageError, match=rf"requirements.txt: pip refuses it: .*({reason})") as refused:
        import_package(context, requiring(tmp_path / "prepare", requirements), allow_code=True)
    assert "conda-pack" in refused.value.do
    assert not list(context.workspace.staging.iterdir())
