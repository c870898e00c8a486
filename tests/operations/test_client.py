"""Code that `tritonpm client` prints, run as it is against the real server: it gets the answer that the server gives."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from PIL import Image

from tests.support import backend_models
from tests.support.models import colours, quadrants, scaled
from tests.support.packages import cascade, single
from tests.support.python_models import SEQUENCE, STREAM, controls, python_model
from tests.support.waiting import PATIENCE
from tests.support.workspaces import opened, running, served
from tritonpm.core.errors import UsageError
from tritonpm.core.tensors import Array
from tritonpm.operations.client import ClientCode, client_code
from tritonpm.operations.client import served as looked_at
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.server import connect
from tritonpm.triton.connection import Connection

HOSTILE = "x'\"; touch pwned; \\u0022 $(touch pwned) `touch pwned` ${pwned} {{1}}"
PICTURES = {
    "preprocess": {"resize": "stretch", "size": [16, 16], "scale": 1 / 255},
    "decode": {"kind": "classification", "top_k": 2},
}
JSON = ("single", "cascade", "scalar", "types", "hostile", "large", "sequence", "image", "encoded")
TELLING = ("types", "hostile", "large", "sequence", "encoded")  # each has something that the others do not


def _rest(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Compilers and virtual machines take long: one package is enough between two runs of all."""
    return () if name == "hostile" else (pytest.mark.long,)


RUN = {"python": [sys.executable], "curl": ["bash"], "java": ["java"], "js": ["node"]}

# What the code uses of Triton's C++ client library, as its documentation has it.
CLIENT_LIBRARY = """
#include <cstdint>
#include <memory>
#include <string>
#include <vector>
namespace triton { namespace client {
struct Error { bool IsOk() const; const std::string& Message() const; };
struct InferOptions {
  explicit InferOptions(const std::string& model_name);
  uint64_t sequence_id_; std::string sequence_id_str_; bool sequence_start_, sequence_end_;
};
struct InferInput {
  static Error Create(InferInput**, const std::string& name, const std::vector<int64_t>& dims, const std::string& type);
  Error AppendRaw(const uint8_t* input, size_t input_byte_size);
  Error AppendFromString(const std::vector<std::string>& input);
};
struct InferResult {
  virtual ~InferResult();
  virtual Error RequestStatus() const = 0;
  virtual Error Shape(const std::string& name, std::vector<int64_t>* shape) const = 0;
  virtual Error RawData(const std::string& name, const uint8_t** buffer, size_t* size) const = 0;
};
struct InferenceServerHttpClient {
  static Error Create(std::unique_ptr<InferenceServerHttpClient>*, const std::string& server_url);
  Error Infer(InferResult**, const InferOptions& options, const std::vector<InferInput*>& inputs);
};
} }
"""


def _handed_on(name: str, shape: tuple[int | str, ...], kind: int = TensorProto.FLOAT) -> bytes:
    node = helper.make_node("Identity", [name], ["y"])
    return backend_models.model([node], {name: (kind, shape)}, {"y": (kind, shape)}).SerializeToString()


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """A served workspace with a package of every kind."""
    folder = tmp_path_factory.mktemp("in")
    names = [name for name in backend_models.DTYPES if name not in ("FP16", "BF16")]
    models = {
        "scalar": _handed_on("x", ()), "hostile": _handed_on(HOSTILE, ("batch", 4)), "large": quadrants(),
        "types": backend_models.every_dtype(names).SerializeToString(),
        "halves": backend_models.every_dtype(["FP16", "BF16"]).SerializeToString(),
        "image": colours(), "encoded": colours(pooled=True),
    }  # fmt: skip
    for name, code, config in (
        ("sequence", SEQUENCE, controls("TYPE_UINT64")),
        ("stream", STREAM, "max_batch_size: 0\nmodel_transaction_policy { decoupled: true }\n"),
    ):  # fmt: skip
        python_model(folder / "models", name, code, config)
    with served(folder / "workspace") as context:
        import_package(context, single(folder / "single", scaled(2.0), "single"))
        import_package(context, cascade(folder / "c", scaled(2.0, result="m"), scaled(3.0, source="m"), "cascade"))
        for name, raw in models.items():
            (folder / f"{name}.onnx").write_bytes(raw)
            changes = {"serve": name, **PICTURES} if name in ("image", "encoded") else {}
            import_package(context, folder / f"{name}.onnx", changes=changes, again=True)
        for name in ("sequence", "stream"):
            import_package(context, folder / "models" / name, allow_code=True)
        for entry in context.catalogue.packages():
            load(context, entry.name, probe=entry.name != "stream")
        yield context


def _expected(context: Context, name: str) -> Mapping[str, Array]:
    """What the server answers to what the code sends."""
    known = looked_at(context, name)
    with connect(context) as client:
        return client.infer(name, {one.name: one.array for one in known.model.inputs})


def _ran(code: ClientCode, folder: Path, *arguments: str) -> str:
    """What the code prints."""
    (folder / code.file).write_text(code.code)
    ended = subprocess.run(
        [*RUN[code.language], code.file, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr + code.code
    assert not (folder / "pwned").exists()  # nothing of a hostile name was run
    return ended.stdout


@pytest.mark.server
@pytest.mark.parametrize("name", [*JSON, "halves", "stream"])
def test_python_gets_the_answer(context: Context, name: str, tmp_path: Path) -> None:
    printed = _ran(client_code(context, name), tmp_path)
    if name == "stream":
        assert printed.count("Y [") == int(looked_at(context, name).model.inputs[0].array.ravel()[0])
        return
    for output, array in _expected(context, name).items():
        assert f"{output} {array}" in printed


@pytest.mark.server
def test_python_sends_a_picture_of_the_users(context: Context, tmp_path: Path) -> None:
    Image.new("RGB", (20, 30), (0, 0, 200)).save(tmp_path / "blue.png")
    for name in ("image", "encoded"):
        assert "classes [[2 " in _ran(client_code(context, name), tmp_path, "blue.png")


@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "language"),
    [
        *((name, "curl") for name in JSON),
        *(pytest.param(name, language, marks=_rest(name)) for language in ("java", "js") for name in TELLING),
    ],
)
def test_json_gets_the_answer(context: Context, name: str, language: str, tmp_path: Path) -> None:
    if not shutil.which(RUN[language][0]):
        pytest.skip(f"{RUN[language][0]} is not here")
    printed = _ran(client_code(context, name, language), tmp_path)
    expected = _expected(context, name)
    if language == "js":
        assert sorted(line.split()[0] for line in re.findall(r"(?m)^\w+ \[.*", printed)) == sorted(expected)
        return
    outputs = {output["name"]: output for output in json.loads(printed)["outputs"]}
    assert outputs.keys() == expected.keys()
    for output, array in expected.items():
        assert outputs[output]["shape"] == list(array.shape)
        flat = [one.decode() if isinstance(one, bytes) else one for one in array.ravel().tolist()]
        assert outputs[output]["data"] == pytest.approx(flat) if array.dtype.kind == "f" else flat


@pytest.mark.server
def test_what_a_language_cannot_say_is_refused(context: Context) -> None:
    for name, language, sentence in (("halves", "curl", "KServe's JSON"), ("stream", "cpp", "decoupled")):
        with pytest.raises(UsageError, match=sentence):
            client_code(context, name, language)


@pytest.mark.server
def test_the_address_is_that_of_the_server(context: Context) -> None:
    assert running(context).http in client_code(context, "single").code
    server = Connection("https://triton.site:8443", {"authorization": "Bearer secret"})
    elsewhere = opened(context.workspace.root, server=server)
    code = client_code(elsewhere, "single", "curl")
    assert "https://triton.site:8443/v2/models/single/infer" in code.code
    assert "is not loaded" in code.notes[0]
    assert "wants authorization" in code.notes[1]
    assert "secret" not in str(code)


@pytest.mark.long
@pytest.mark.server
@pytest.mark.parametrize("name", [pytest.param(name, marks=_rest(name)) for name in (*TELLING, "halves")])
def test_cpp_is_code(context: Context, name: str, tmp_path: Path) -> None:
    """Against what Triton's client library declares: the library itself is in no registry that can be reached."""
    if not shutil.which("g++"):
        pytest.skip("there is no compiler here")
    code = client_code(context, name, "cpp")
    (tmp_path / "http_client.h").write_text(CLIENT_LIBRARY)
    (tmp_path / code.file).write_text(code.code)
    command = ["g++", "-std=c++17", "-fsyntax-only", "-Wall", "-Werror", "-I.", code.file]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr + code.code
