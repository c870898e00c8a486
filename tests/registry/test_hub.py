"""Models of a Hub: a server that speaks its API, the real client, and the import of what is fetched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import registries as servers
from tests.support.archives import IR, MODEL, external
from tritonpm.core.errors import NotFoundError, RegistryError, UnsafeError, UsageError
from tritonpm.operations.context import Context
from tritonpm.operations.pull import bring_in
from tritonpm.registry.transfer import Bounds

COMMIT = "5" * 40
CONFIG = json.dumps({"architectures": ["AnyForImageClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Web]:
    with servers.web() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        monkeypatch.setenv("HF_TOKEN", "hf_not_a_secret")
        yield web


def publish(hub: servers.Web, model: str, files: dict[str, bytes], revision: str = "main") -> None:
    """As the Hub tells of a commit: large files have the digest of their content."""
    siblings = []
    for path, content in files.items():
        large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        told = {"rfilename": path, "size": len(content), "blobId": "0" * 40}
        siblings.append(told | ({"lfs": large} if path.endswith((".onnx", ".bin", "_data")) else {}))
        hub.files[f"/{model}/resolve/{COMMIT}/{path}"] = content
    told = {"id": model, "modelId": model, "sha": COMMIT, "siblings": siblings, "tags": []}
    hub.files[f"/api/models/{model}/revision/{revision}"] = json.dumps(told).encode()


def test_an_export_comes_with_its_weights_and_its_meaning(hub: servers.Web, context: Context) -> None:
    weights = bytes(12)
    publish(hub, "org/net", {
        "README.md": b"-", "pytorch_model.bin": b"\x80\x02}q\x00.", "config.json": CONFIG.encode(),
        "onnx/model.onnx": external("model.onnx_data").SerializeToString(), "onnx/model.onnx_data": weights,
        "onnx/model_quantized.onnx": MODEL,
    })  # fmt: skip
    view = bring_in(context, "hf://org/net")
    stage = context.catalogue.get("net").package.stages[0]
    assert (view.name, stage.signature.labels) == ("net", ("a", "b", "c"))
    sent = {path: {key.lower(): value for key, value in headers.items()} for path, headers in hub.requests}
    asked = {path: headers.get("authorization") for path, headers in sent.items() if "org/net" in path}
    assert not any("README" in path or "pytorch" in path or "quantized" in path for path in asked)
    assert set(asked.values()) == {"Bearer hf_not_a_secret"}
    bring_in(context, "hf://org/net/onnx/model_quantized.onnx", name="small")
    publish(hub, "org/ir", {"openvino/openvino_model.xml": IR.encode(), "openvino/openvino_model.bin": weights}, "v1")
    assert bring_in(context, "hf://org/ir@v1").name == "ir"
    assert not list(context.workspace.quarantine.glob("*/*"))


def test_what_is_not_there_or_not_to_be_trusted(hub: servers.Web, context: Context) -> None:
    publish(hub, "org/torch", {"model.safetensors": b"-"})
    with pytest.raises(NotFoundError, match=r"neither an ONNX nor an OpenVINO export; install .*--model org/torch OUT"):
        bring_in(context, "hf://org/torch")
    publish(hub, "org/two", {"a.onnx": MODEL, "b.onnx": MODEL})
    with pytest.raises(UsageError, match=r"several exports: a\.onnx, b\.onnx; name one, as hf://org/two/a\.onnx"):
        bring_in(context, "hf://org/two")
    with pytest.raises(NotFoundError, match=r"has no export c\.onnx"):
        bring_in(context, "hf://org/two/c.onnx")
    with pytest.raises(UsageError, match="is not an address of a model"):
        bring_in(context, "hf://two")
    publish(hub, "org/long", {"model.onnx": MODEL})
    with pytest.raises(RegistryError, match="is longer than 10 bytes"):
        bring_in(context, "hf://org/long", bounds=Bounds(size=10))
    hub.files[f"/org/long/resolve/{COMMIT}/model.onnx"] = MODEL + b"\0"
    with pytest.raises(RegistryError, match=r"is sha256:.* was asked for"):
        bring_in(context, "hf://org/long")
    publish(hub, "org/out", {"../model.onnx": MODEL})
    with pytest.raises(UnsafeError, match="leads out of the package"):
        bring_in(context, "hf://org/out")
    hub.files["/api/models/org/odd/revision/main"] = b"<html>"
    with pytest.raises(RegistryError, match="does not answer as a Hub does"):
        bring_in(context, "hf://org/odd")
    with pytest.raises(UsageError, match="is pinned by its revision"):
        bring_in(context, "hf://org/two", digest="sha256:" + "0" * 64)


OPTIMUM = """from pathlib import Path

def main_export(model, output, revision, trust_remote_code):
    assert (revision, trust_remote_code) == ("{commit}", False)
    if model != "org/torch":
        raise ValueError("a model of a kind that is not known")
    output.mkdir()
    for name in ("model.onnx", "config.json", "run_me.py"):
        (output / name).write_bytes(Path("{folder}", name).read_bytes())
"""


def test_optimum_exports_what_has_no_export_where_it_is_here(
    hub: servers.Web, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wants other versions of everything than the suite has, so that a stand-in of its one function is called."""
    stand_in = tmp_path / "installed/optimum/exporters"
    stand_in.mkdir(parents=True)
    (stand_in / "onnx.py").write_text(OPTIMUM.format(commit=COMMIT, folder=tmp_path))
    for name, content in (("model.onnx", MODEL), ("config.json", CONFIG.encode()), ("run_me.py", b"-")):
        (tmp_path / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "installed"))
    publish(hub, "org/torch", {"model.safetensors": b"-"})
    publish(hub, "org/odd", {"model.safetensors": b"-"})
    bring_in(context, "hf://org/torch")
    assert context.catalogue.get("torch").package.stages[0].signature.labels == ("a", "b", "c")
    with pytest.raises(RegistryError, match="Optimum does not export it: ValueError: a model of a kind"):
        bring_in(context, "hf://org/odd")
