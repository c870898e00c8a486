"""Packages as ModelPacks in a real registry, taken by another client, and what other tools put there."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import requests
import zstandard
from modelpack_client import ModelLayer, ModelPackClient
from modelpack_client.constants import WEIGHT_RAW_MEDIA_TYPE
from modelpack_client.schema import CONFIG_SCHEMA

from tests.support.archives import MANIFEST, MODEL
from tests.support.fetching import SHORT
from tests.support.keys import signer
from tests.support.waiting import PATIENCE
from tests.support.workspaces import opened
from tritonpm.core.errors import PackageError, RegistryError, SignatureError, UnsafeError, UsageError
from tritonpm.core.files import digest_of, digest_of_bytes
from tritonpm.core.units import MIB
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.pull import pull
from tritonpm.operations.push import MODELPACK, push
from tritonpm.package.limits import Limits
from tritonpm.registry.modelpack import PACK_TYPE, files_of, pack_layers, unpacking
from tritonpm.registry.oci_repository import MANIFEST_TYPE, OciBlob, OciManifest, OciRepository, descriptor

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
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(MODEL)
    for kind in ("tar", "tar+gzip", "tar+zstd"):
        layer = ModelLayer(folder, media_type=f"application/vnd.cncf.model.weight.v1.{kind}", artifact_path="weights")
        place = f"{registry}/packs/{kind.replace('+', '-')}:1"
        theirs.push(place, [layer], CONFIG)
        context.catalogue.remove(view.name)
        view = pull(context, f"oci://{place}")
    assert left(context) == []


def test_written_by_hand(context: Context, registry: str, tmp_path: Path) -> None:
    """As the specification says: tars of the package's files by their paths; and as modctl once did, without folders."""
    files = zipfile.ZipFile(written(tmp_path / "bolts.zip"))
    weights = tarred([("./one.npz", files.read("one.npz")), ("./notes/n.txt", b"")])
    texts = tarred([("labels.txt", files.read("labels.txt")), ("card.txt", files.read("card.txt"))])
    manifest = files.read("package.yaml").replace(b"m.onnx", b"models/m.onnx")
    alone = tarred([("m.onnx", MODEL)])
    url = put_pack(registry, "packs/hand:1", [
        ("weight.config.v1.raw", "package.yaml", manifest), ("weight.v1.tar", "models/m.onnx", alone),
        ("weight.v1.tar+gzip", "", gzip.compress(weights)),
        ("doc.v1.tar+zstd", ".", zstandard.compress(texts)),
    ])  # fmt: skip
    package = pull(context, url, bounds=SHORT)
    assert package.name == "bolts"
    paths = {file.path for file in context.catalogue.get("bolts").package.files}
    assert {"models/m.onnx", "labels.txt", "card.txt", "one.npz"} <= paths
    assert left(context) == []


HOSTILE = {
    "a symbolic link": lambda: tarred([("m.onnx", "/etc/passwd")]),
    "a path from the root": lambda: tarred([("/m.onnx", MODEL)]),
    "a path that leads out": lambda: tarred([("weights/../../m.onnx", MODEL)]),
    "a name that a raw file has": lambda: tarred([("PACKAGE.yaml", MODEL)]),
    "one name twice": lambda: tarred([("m.onnx", MODEL), ("m.onnx", MODEL)]),
    "cut off": lambda: tarred([("m.onnx", MODEL)])[:700],
    "no tar": lambda: MODEL * 20,
}


@pytest.mark.parametrize("packing", ["tar", "tar+gzip"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_tar(context: Context, registry: str, packing: str, what: str) -> None:
    tar = HOSTILE[what]()
    content = gzip.compress(tar) if packing == "tar+gzip" else tar
    files = [("weight.config.v1.raw", "package.yaml", MANIFEST.encode()), (f"weight.v1.{packing}", "m", content)]
    url = put_pack(registry, f"packs/hostile-{packing[-1]}:{what.replace(' ', '-')}", files)
    with pytest.raises((UnsafeError, PackageError)):
        pull(context, url, bounds=SHORT)
    assert left(context) == []
    assert not context.catalogue.packages()


def test_compressed_otherwise_than_it_says(context: Context, registry: str) -> None:
    tar = tarred([("m.onnx", MODEL)])
    for packing, content in (
        ("tar+gzip", tar),
        ("tar+zstd", gzip.compress(tar)),
        ("tar+gzip", gzip.compress(tar)[:-9]),
    ):
        url = put_pack(
            registry, f"packs/otherwise:{digest_of_bytes(content)[7:]}", [(f"weight.v1.{packing}", "m", content)]
        )
        with pytest.raises(PackageError, match="compressed in a way that is damaged"):
            pull(context, url, bounds=SHORT)
    url = put_pack(registry, "packs/otherwise:squashed", [("weight.v1.squashfs", "m", tar)])
    with pytest.raises(RegistryError, match=r"weight\.v1\.squashfs, and only raw files and tars are taken"):
        pull(context, url)


def test_a_bomb(tmp_path: Path) -> None:
    content = gzip.compress(tarred([(name, bytes(MIB)) for name in "ab"]))
    (tmp_path / "layer").write_bytes(content)
    layer = OciBlob("application/vnd.cncf.model.weight.v1.tar+gzip", digest_of_bytes(content), len(content))
    staging = unpacking(tmp_path / "unpacked", "oci://here/p:1", 4 * MIB)
    assert set(files_of(layer, tmp_path / "layer", staging)) == {"a", "b"}
    for limits in (Limits(ratio_floor=MIB), Limits(total=MIB)):
        staging = unpacking(tmp_path / f"to {limits.total}", "oci://here/p:1", 4 * MIB)
        staging.limits = limits
        with pytest.raises(UnsafeError, match="unpacks"):
            files_of(layer, tmp_path / "layer", staging)


def tarred(files: list[tuple[str, bytes | str]]) -> bytes:
    """A tar of files, and of links where text says to what."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content if isinstance(content, bytes) else b""))
    return stream.getvalue()


def put_pack(registry: str, place: str, files: list[tuple[str, str, bytes]]) -> str:
    """A ModelPack by hand: each layer's media type, path and content; its address."""
    url = f"oci://{registry}/{place}"
    at, layers = OciRepository(url, SHORT), []
    for kind, path, content in [("config.v1+json", "", json.dumps(CONFIG).encode()), *files]:
        digest = digest_of_bytes(content)
        at.put_blob(content, digest, len(content))
        told = {"org.cncf.model.filepath": path} if path else {}
        layers.append(descriptor(f"application/vnd.cncf.model.{kind}", digest, len(content), told))
    at.put({"artifactType": PACK_TYPE, "config": layers[0], "layers": layers[1:]})
    return url


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
        pack_layers(OciManifest((layer,)), unpacking(Path("nowhere"), "oci://here/bolts:1", MIB))
