"""Packages as ModelPacks in a real registry, taken by another client, and what other tools put there."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import requests
from modelpack_client import ModelLayer, ModelPackClient
from modelpack_client.constants import WEIGHT_RAW_MEDIA_TYPE, WEIGHT_TAR_MEDIA_TYPE
from modelpack_client.schema import CONFIG_SCHEMA

from tests.support.archives import MANIFEST, MODEL
from tests.support.fetching import SHORT
from tests.support.keys import signer
from tests.support.waiting import PATIENCE
from tests.support.workspaces import opened
from tritonpm.core.errors import PackageError, RegistryError, SignatureError, UnsafeError, UsageError
from tritonpm.core.files import digest_of, digest_of_bytes
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.pull import pull
from tritonpm.operations.push import MODELPACK, push
from tritonpm.registry.modelpack import packed_files
from tritonpm.registry.oci_repository import MANIFEST_TYPE, OciBlob, OciManifest

CONFIG = {"descriptor": {"name": "theirs"}, "config": {"format": "onnx"}, "modelfs": {"type": "layers", "diffIds": []}}


@pytest.fixture
def theirs(registry: str) -> ModelPackClient:
    """Another tool that reads and writes ModelPacks."""
    return ModelPackClient(registry, insecure=True)


def written(file: Path) -> Path:
    """A package with a sample, a licence, a model card and an empty file."""
    manifest = MANIFEST.replace("stages:", "license: Apache-2.0\nmodel_card: card.txt\nstages:")
    manifest = manifest.replace("model: m.onnx}", "model: m.onnx, labels: labels.txt, samples: [{inputs: one.npz}]}")
    np.savez(file.with_name("one.npz"), x=np.ones((1, 3), np.float32))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("package.yaml", manifest)
        archive.writestr("m.onnx", MODEL)
        archive.writestr("labels.txt", "bolt\nnut\nwasher\n")
        archive.writestr("card.txt", "For bolts.\n")
        archive.write(file.with_name("one.npz"), "one.npz")
    return file


def manifest_of(place: str, name: str, tag: str) -> dict[str, Any]:
    url = f"http://{place}/v2/{name}/manifests/{tag}"
    told: dict[str, Any] = requests.get(url, headers={"Accept": MANIFEST_TYPE}, timeout=PATIENCE).json()
    return told


def left(context: Context) -> list[Path]:
    folders = (context.workspace.quarantine, context.workspace.staging)
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_another_tool_takes_what_was_pushed(
    context: Context, registry: str, theirs: ModelPackClient, tmp_path: Path
) -> None:
    import_package(context, written(tmp_path / "bolts.zip"))
    pushed = push(context, "bolts", f"oci://{registry}/packs/bolts:1", form=MODELPACK)
    got = theirs.pull(f"{registry}/packs/bolts:1", tmp_path / "theirs")
    assert {path.name: digest_of(path) for path in (tmp_path / "theirs").iterdir() if path.name != "package.yaml"} == {
        name: digest_of_bytes(zipfile.ZipFile(tmp_path / "bolts.zip").read(name))
        for name in ("m.onnx", "labels.txt", "card.txt", "one.npz")
    }
    assert got is not None
    manifest = manifest_of(registry, "packs/bolts", "1")
    kinds = {one["annotations"]["org.cncf.model.filepath"]: one["mediaType"] for one in manifest["layers"]}
    assert {path: kind.removeprefix("application/vnd.cncf.model.") for path, kind in kinds.items()} == {
        "package.yaml": "weight.config.v1.raw", "m.onnx": "weight.v1.raw", "labels.txt": "weight.config.v1.raw",
        "card.txt": "doc.v1.raw", "one.npz": "dataset.v1.raw",
    }  # fmt: skip
    blob = f"http://{registry}/v2/packs/bolts/blobs/{manifest['config']['digest']}"
    config = requests.get(blob, timeout=PATIENCE).json()
    jsonschema.validate(config, CONFIG_SCHEMA)
    assert config["descriptor"] == {"name": "bolts", "version": "1.0", "licenses": ["Apache-2.0"]}
    assert config["config"] == {"format": "onnx"}
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]
    assert pushed.url.startswith(f"oci://{registry}/packs/bolts:1@sha256:")


def test_pulled_back_it_is_the_same_and_signed(context: Context, registry: str, tmp_path: Path) -> None:
    first = import_package(context, written(tmp_path / "bolts.zip"))
    line = signer(tmp_path, "line")
    url = f"oci://{registry}/packs/signed:1"
    pushed = push(context, "bolts", url, form=MODELPACK, signer=line)
    assert push(context, "bolts", url, form=MODELPACK, signer=line) == pushed
    init(tmp_path / "other")
    other = opened(tmp_path / "other")
    (tmp_path / "other/line.pub").write_bytes((tmp_path / "line.pub").read_bytes())
    other.workspace.policy.write_text("require-signature: {keys: [line.pub]}\n")
    assert pull(other, pushed.url, digest=pushed.digest).digest == first.digest
    push(context, "bolts", f"oci://{registry}/packs/unsigned:1", form=MODELPACK)
    with pytest.raises(SignatureError, match="is not signed"):
        pull(other, f"oci://{registry}/packs/unsigned:1", name="more")
    with pytest.raises(RegistryError, match="was asked for"):
        pull(other, url, name="more", digest="sha256:" + "0" * 64)
    assert left(other) == left(context) == []


def test_a_tag_keeps_what_it_names(context: Context, registry: str, tmp_path: Path) -> None:
    import_package(context, written(tmp_path / "bolts.zip"))
    push(context, "bolts", f"oci://{registry}/packs/kept:1", form=MODELPACK)
    with pytest.raises(RegistryError, match="something else is there"):
        push(context, "bolts", f"oci://{registry}/packs/kept:1")
    push(context, "bolts", f"oci://{registry}/packs/kept:1", force=True)
    with pytest.raises(UsageError, match="holds no ModelPacks; push it to oci://"):
        push(context, "bolts", str(tmp_path / "bolts.zip"), form=MODELPACK)


def test_of_another_tool(context: Context, registry: str, theirs: ModelPackClient, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(MODEL)
    layer = ModelLayer(tmp_path / "model.onnx", media_type=WEIGHT_RAW_MEDIA_TYPE, artifact_path="model.onnx")
    theirs.push(f"{registry}/packs/theirs:1", [layer], CONFIG)
    view = pull(context, f"oci://{registry}/packs/theirs:1", bounds=SHORT)
    assert (view.name, len(view.stages)) == ("theirs", 1)
    layer = ModelLayer(tmp_path / "model.onnx", media_type=WEIGHT_TAR_MEDIA_TYPE, artifact_path="model.onnx")
    theirs.push(f"{registry}/packs/tarred:1", [layer], CONFIG)
    with pytest.raises(RegistryError, match=r"weight\.v1\.tar, and only files as they are"):
        pull(context, f"oci://{registry}/packs/tarred:1")


@pytest.mark.parametrize("what", ["another file", "leads out", "twice", "no path", "nothing", "too long"])
def test_a_manifest_that_somebody_changed(context: Context, registry: str, tmp_path: Path, what: str) -> None:
    import_package(context, written(tmp_path / "bolts.zip"))
    name = "packs/changed-" + what.replace(" ", "-")
    push(context, "bolts", f"oci://{registry}/{name}:1", form=MODELPACK)
    manifest = manifest_of(registry, name, "1")
    layers = {layer["annotations"]["org.cncf.model.filepath"]: layer for layer in manifest["layers"]}
    labels, card = layers["labels.txt"], layers["card.txt"]
    if what == "another file":
        labels["digest"], labels["size"] = card["digest"], card["size"]
    elif what == "leads out":
        labels["annotations"]["org.cncf.model.filepath"] = "../../labels.txt"
    elif what == "twice":
        labels["annotations"]["org.cncf.model.filepath"] = "CARD.txt"
    elif what == "no path":
        del labels["annotations"]
    elif what == "nothing":
        manifest["layers"] = []
    else:
        labels["size"] = 1 << 50
    headers = {"Content-Type": MANIFEST_TYPE}
    url = f"http://{registry}/v2/{name}/manifests/2"
    requests.put(url, data=json.dumps(manifest), headers=headers, timeout=PATIENCE).raise_for_status()
    context.catalogue.remove("bolts")
    with pytest.raises((RegistryError, UnsafeError, PackageError)):
        pull(context, f"oci://{registry}/{name}:2", bounds=SHORT)
    assert left(context) == []
    assert not context.catalogue.packages()


@pytest.mark.parametrize(("digest", "size"), [("md5:" + "0" * 32, 1), ("sha256:../x", 1), ("sha256:" + "0" * 64, -1)])
def test_a_blob_that_no_registry_has(digest: str, size: int) -> None:
    layer = OciBlob(WEIGHT_RAW_MEDIA_TYPE, digest, size, annotations={"org.cncf.model.filepath": "m.onnx"})
    with pytest.raises(RegistryError, match=r"m\.onnx under a name that is not a digest"):
        packed_files(OciManifest((layer,)), "oci://here/bolts:1", 1 << 20)
