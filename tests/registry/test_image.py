"""A repository as an image: what KServe mounts from a real registry is what a real Triton serves."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.support.models import scaled
from tests.support.packages import cascade
from tests.support.running import Running
from tests.support.waiting import PATIENCE
from tests.support.workspaces import opened
from tritonpm.core.errors import RegistryError, UsageError
from tritonpm.core.files import digest_of_bytes
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.pull import pull
from tritonpm.operations.push import push_image
from tritonpm.operations.set import change
from tritonpm.registry.oci_repository import MANIFEST_TYPE
from tritonpm.triton.client import Client
from tritonpm.triton.connection import Connection


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A workspace with a cascade."""
    init(tmp_path / "a workspace")
    context = opened(tmp_path / "a workspace")
    import_package(context, cascade(tmp_path / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    return context


def got(place: str, name: str, what: str) -> bytes:
    answer = requests.get(f"http://{place}/v2/{name}/{what}", headers={"Accept": MANIFEST_TYPE}, timeout=PATIENCE)
    answer.raise_for_status()
    return answer.content


def unpacked(place: str, name: str, tag: str, folder: Path) -> dict[str, Any]:
    """The image's layers, one over the other, as a container runtime lays them; its manifest."""
    import json

    manifest: dict[str, Any] = json.loads(got(place, name, f"manifests/{tag}"))
    config = json.loads(got(place, name, f"blobs/{manifest['config']['digest']}"))
    assert (config["os"], config["rootfs"]["type"]) == ("linux", "layers")
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    for layer in manifest["layers"]:
        content = got(place, name, f"blobs/{layer['digest']}")
        assert (digest_of_bytes(content), len(content)) == (layer["digest"], layer["size"])
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(folder, filter="data")
    return manifest


@pytest.mark.server
def test_triton_serves_what_the_image_holds(context: Context, registry: str, running: Running, tmp_path: Path) -> None:
    pushed = push_image(context, "c", f"oci://{registry}/serving/c:1")
    manifest = unpacked(registry, "serving/c", "1", tmp_path / "image")
    assert [path.name for path in (tmp_path / "image").iterdir()] == ["models"]
    assert len(manifest["layers"]) == len(list((tmp_path / "image/models").iterdir())) == 3
    assert pushed.url == f"oci://{registry}/serving/c:1@{pushed.digest}"
    for model in (tmp_path / "image/models").iterdir():
        model.rename(running.repository / model.name)
    with Client.of(Connection(running.server.http)) as client:
        client.load_and_wait("c")
        x = np.ones((2, 4), np.float32)
        assert np.allclose(next(iter(client.infer("c", {"x": x}).values())), 6 * x)


def test_the_same_is_the_same_and_nothing_else_is_replaced(context: Context, registry: str, tmp_path: Path) -> None:
    url = f"oci://{registry}/serving/kept:1"
    assert push_image(context, "c", url) == push_image(context, "c", url)
    change(context, "c", {"max_batch_size": 2})
    with pytest.raises(RegistryError, match="something else is there; choose another tag, or use --force"):
        push_image(context, "c", url)
    push_image(context, "c", url, force=True)
    with pytest.raises(RegistryError, match="holds no package of tritonpm"):
        pull(context, url, name="again")
    with pytest.raises(UsageError, match="holds no images; push it to oci://"):
        push_image(context, "c", str(tmp_path / "c.tar"))
    with pytest.raises(UsageError, match="a digest cannot be pushed to"):
        push_image(context, "c", f"oci://{registry}/serving/kept@sha256:{'0' * 64}")
