"""Packages in a real OCI registry, open, with a password, and with tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from tests.support import registries as servers
from tests.support.fetching import fetch, left, push, signed, written
from tests.support.waiting import PATIENCE
from tritonpm.core.errors import NotFoundError, RegistryError, UsageError
from tritonpm.core.files import digest_of, digest_of_bytes
from tritonpm.registry import ATTESTATION, beside
from tritonpm.registry.oci import PACKAGE_TYPE, SIGNATURE_TYPE
from tritonpm.registry.oci_repository import OciManifest, read_document

Packed = tuple[Path, str]
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def test_what_is_pushed_is_pulled(package: Packed, registry: str, tmp_path: Path) -> None:
    file, digest = package
    pushed = push(signed(file), f"oci://{registry}/vision/bolts:1.2")
    assert (pushed.digest, pushed.signed) == (digest, True)
    for url in (f"oci://{registry}/vision/bolts:1.2", pushed.url):
        got = fetch(url, tmp_path / "to", "")
        assert (got.name, got.read_bytes()) == ("bolts.zip", file.read_bytes())
        assert got.with_name("bolts.zip.sig").read_text() == "{}"
    raw = requests.get(
        f"http://{registry}/v2/vision/bolts/manifests/1.2", headers={"Accept": MANIFEST_TYPE}, timeout=PATIENCE
    ).json()
    assert [layer["mediaType"] for layer in raw["layers"]] == [PACKAGE_TYPE, SIGNATURE_TYPE]
    assert raw["artifactType"] == PACKAGE_TYPE


def test_a_tag_is_not_moved_unasked(package: Packed, registry: str, tmp_path: Path) -> None:
    url = f"oci://{registry}/vision/moved:1.2"
    first = push(package[0], url)
    assert push(package[0], url) == first
    digest = written(tmp_path / "other.zip", "2.0")
    with pytest.raises(RegistryError, match="something else is there; choose another tag, or use --force"):
        push(tmp_path / "other.zip", url)
    push(tmp_path / "other.zip", url, force=True)
    assert digest_of(fetch(url, tmp_path / "new", "")) == digest
    assert digest_of(fetch(first.url, tmp_path / "old", "")) == package[1]


def test_another_digest_is_refused_before_the_download(package: Packed, registry: str, tmp_path: Path) -> None:
    push(package[0], f"oci://{registry}/vision/pinned:1")
    with pytest.raises(RegistryError, match=r"holds sha256:.*was asked for"):
        fetch(f"oci://{registry}/vision/pinned:1", tmp_path / "to", "sha256:" + "0" * 64)
    assert left(tmp_path / "to") == []


def test_a_part_is_gone_on_with(package: Packed, registry: str, tmp_path: Path) -> None:
    file, _ = package
    push(file, f"oci://{registry}/vision/parts:1")
    (tmp_path / "to").mkdir()
    (tmp_path / "to/.parts.zip.partial").write_bytes(file.read_bytes()[:100])
    assert fetch(f"oci://{registry}/vision/parts:1", tmp_path / "to", "").read_bytes() == file.read_bytes()


def test_what_is_no_package(registry: str, tmp_path: Path) -> None:
    layer = push_blob(registry, "vision/image", b"{}")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": layer, "layers": [layer]}
    requests.put(
        f"http://{registry}/v2/vision/image/manifests/1", data=json.dumps(manifest),
        headers={"Content-Type": MANIFEST_TYPE}, timeout=PATIENCE,
    ).raise_for_status()  # fmt: skip
    with pytest.raises(RegistryError, match="holds no package of tritonpm"):
        fetch(f"oci://{registry}/vision/image:1", tmp_path / "to", "")
    with pytest.raises(NotFoundError, match="no such package"):
        fetch(f"oci://{registry}/vision/nothing:1", tmp_path / "to", "")
    with pytest.raises(NotFoundError, match="no such package"):
        fetch(f"oci://{registry}/vision/image@sha256:{'0' * 64}", tmp_path / "to", "")


def push_blob(place: str, name: str, content: bytes) -> dict[str, object]:
    digest = digest_of_bytes(content)
    begun = requests.post(f"http://{place}/v2/{name}/blobs/uploads/", timeout=PATIENCE)
    requests.put(f"{begun.headers['Location']}&digest={digest}", data=content, timeout=PATIENCE).raise_for_status()
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(content)}


@pytest.mark.parametrize("content", [b"\xff{}", b'{"layers": "none"}', b"[" * 100_000, b""])
def test_what_is_no_manifest(content: bytes) -> None:
    with pytest.raises(RegistryError, match="holds no manifest"):
        read_document(content, OciManifest, "oci://here/bolts:1")


@pytest.mark.parametrize(
    "url",
    [
        "oci://host",
        "oci://host/UPPER:1",
        "oci://host/a:b:c",
        "oci://host/a@sha256:12",
        "oci://host/../a",
        "oci://host/a?x=1",
    ],
)
def test_what_is_no_address(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="is not an address of a registry; use oci://HOST/NAME:TAG"):
        fetch(url, tmp_path, "")


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="the connection was refused or broke; check that it is reachable"):
        fetch("oci://127.0.0.1:1/bolts:1", tmp_path, "")


def docker(folder: Path, place: str, login: str) -> None:
    """A config as `docker login` writes it."""
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(login.encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {place: {"auth": auth}}}))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that requires a user name and password."""
    root = tmp_path_factory.mktemp("guarded")
    (root / "htpasswd").write_text(servers.LINE + "\n")
    with servers.oci(root / "registry", {"htpasswd": {"realm": "line", "path": str(root / "htpasswd")}}) as place:
        yield place


def test_a_password_is_docker_s(package: Packed, guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    url = f"oci://{guarded}/vision/bolts:1"
    with pytest.raises(RegistryError, match="requires a user name and password; `docker login` to it"):
        push(package[0], url)
    docker(tmp_path / "docker", guarded, "line:another-secret")
    with pytest.raises(RegistryError, match="refuses these credentials") as refused:
        push(package[0], url)
    assert "another-secret" not in str(refused.value)
    docker(tmp_path / "docker", guarded, "line:not-a-secret")
    push(package[0], url)
    assert digest_of(fetch(url, tmp_path / "to", "")) == package[1]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[str]:
    """A registry that wants tokens, and who hands them out for the right password."""
    root = tmp_path_factory.mktemp("tokens")
    authority.cert_pem.write_to_path(root / "ca.pem")
    with servers.tokens(authority.issue_cert("issuer.invalid", key_type=trustme.KeyType.RSA)) as realm:
        auth = {"realm": realm, "service": "here", "issuer": "line", "rootcertbundle": str(root / "ca.pem")}
        with servers.oci(root / "registry", {"token": auth}) as place:
            yield place


def test_a_token_is_asked_for(package: Packed, tokens: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    url = f"oci://{tokens}/vision/bolts:1"
    with pytest.raises(RegistryError, match="refuses these credentials, or requires some; `docker login` to it"):
        push(package[0], url)
    docker(tmp_path / "docker", tokens, "line:not-a-secret")
    push(signed(package[0]), url)
    got = fetch(url, tmp_path / "to", "")
    assert (digest_of(got), left(got.parent)) == (package[1], ["bolts.zip", "bolts.zip.sig"])


def test_of_many_attestations_the_newest_count(package: Packed, registry: str, tmp_path: Path) -> None:
    for number in range(18):
        beside(package[0], ATTESTATION).write_text(json.dumps({"number": number}))
        push(package[0], f"oci://{registry}/vision/often:1")
    lines = beside(fetch(f"oci://{registry}/vision/often:1", tmp_path / "to", ""), ATTESTATION).read_text().splitlines()
    assert {"number": 17} in map(json.loads, lines)


def test_an_attestation_whose_content_is_gone_is_none(package: Packed, registry: str, tmp_path: Path) -> None:
    beside(package[0], ATTESTATION).write_text("{}")
    push(package[0], f"oci://{registry}/vision/gone:1")
    digest = digest_of(beside(package[0], ATTESTATION))
    requests.delete(f"http://{registry}/v2/vision/gone/blobs/{digest}", timeout=PATIENCE).raise_for_status()
    got = fetch(f"oci://{registry}/vision/gone:1", tmp_path / "to", "")
    assert got.read_bytes() == package[0].read_bytes() and not beside(got, ATTESTATION).exists()


def test_a_registry_elsewhere_has_nothing_asked_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By where it says that tokens are had: what listens on loopback often asks for no password."""
    really = requests.Session.send
    with servers.web() as here:

        def send(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            if not str(request.url).startswith("https://registry.invalid/"):
                return really(session, request, **options)
            answer = requests.Response()
            answer.url, answer.status_code, answer.raw = str(request.url), 401, BytesIO()
            answer.headers["WWW-Authenticate"] = f'Bearer realm="{here.url}/token",service="here"'
            return answer

        monkeypatch.setattr(requests.Session, "send", send)
        with pytest.raises(RegistryError, match="is not encrypted"):
            fetch("oci://registry.invalid/vision/bolts:1", tmp_path, "")
    assert here.requests == []
