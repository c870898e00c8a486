"""Packages in an S3 store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from tests.support import s3
from tests.support.fetching import fetch, left, push, signed, written
from tests.support.waiting import PATIENCE
from tritonpm.core.errors import NotFoundError, RegistryError
from tritonpm.core.files import digest_of

Packed = tuple[Path, str]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An S3 store; its address."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def bucket(store: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """The bucket `packages` in it, and the credentials for it in the environment."""
    import requests

    told = {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": "line",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    requests.put(f"{store}/packages", timeout=PATIENCE)
    return S3Store("packages", client_options={"allow_http": True})


def test_what_is_pushed_is_pulled(package: Packed, bucket: S3Store, tmp_path: Path) -> None:
    file, digest = package
    pushed = push(signed(file), "s3://packages/line/bolts.zip")
    assert (pushed.digest, pushed.signed) == (digest, True)
    got = fetch("s3://packages/line/bolts.zip", tmp_path / "to", digest)
    assert got.read_bytes() == file.read_bytes()
    assert left(tmp_path / "to") == ["bolts.zip", "bolts.zip.sig"]


def test_what_is_there_is_not_replaced_unasked(package: Packed, bucket: S3Store, tmp_path: Path) -> None:
    push(signed(package[0]), "s3://packages/kept.zip")
    push(package[0], "s3://packages/kept.zip")
    digest = written(tmp_path / "other.zip", "2.0")
    with pytest.raises(RegistryError, match=r"s3://packages/kept.zip: something else is there"):
        push(tmp_path / "other.zip", "s3://packages/kept.zip")
    push(tmp_path / "other.zip", "s3://packages/kept.zip", force=True)
    got = fetch("s3://packages/kept.zip", tmp_path / "to", "")
    assert (digest_of(got), left(got.parent)) == (digest, ["kept.zip"])


def test_a_part_is_gone_on_with_and_another_content_refused(package: Packed, bucket: S3Store, tmp_path: Path) -> None:
    file, digest = package
    push(file, "s3://packages/parts.zip")
    for known in (file.read_bytes()[:100], file.read_bytes(), b"x" * 50, b"x" * 10_000):
        (tmp_path / "to").mkdir(exist_ok=True)
        (tmp_path / "to/parts.zip").unlink(missing_ok=True)
        (tmp_path / "to/.parts.zip.partial").write_bytes(known)
        assert fetch("s3://packages/parts.zip", tmp_path / "to", digest).read_bytes() == file.read_bytes()
    obstore.put(bucket, "parts.zip", b"something else")
    with pytest.raises(RegistryError, match="was asked for"):
        fetch("s3://packages/parts.zip", tmp_path / "other", digest)
    assert left(tmp_path / "other") == []


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("InvalidAccessKeyId", 403, "it does not know the credentials"),
        ("AccessDenied", 403, "it does not allow this"),
        ("ExpiredToken", 400, "the credentials have expired"),
    ],
)
def test_what_a_store_refuses_is_said_as_of_repositories(
    bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: int, sentence: str
) -> None:
    with s3.refusing(code, status) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(RegistryError, match=sentence) as refused:
            fetch("s3://packages/bolts.zip", tmp_path, "")
    assert "secret" not in str(refused.value)


def test_what_is_not_there(bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("s3://packages/nothing.zip", "s3://nobucket/bolts.zip"):
        with pytest.raises(NotFoundError, match="no such object"):
            fetch(url, tmp_path, "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid")
    with pytest.raises(RegistryError, match=r"AWS_ENDPOINT_URL: http://store.invalid is not encrypted"):
        fetch("s3://packages/bolts.zip", tmp_path, "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(RegistryError, match="broke off after 0 bytes"):
        fetch("s3://packages/bolts.zip", tmp_path, "")
