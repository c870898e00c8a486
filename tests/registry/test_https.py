"""Packages from web servers: nothing counts that is not encrypted, within bounds and of the digest that was told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fetching import SHORT, fetch, left
from tests.support.registries import Web
from tests.support.registries import web as serving
from tritonpm.core.errors import NotFoundError, RegistryError, UsageError

Packed = tuple[Path, str]


@pytest.mark.parametrize("ranges", [True, False])
def test_what_breaks_off_is_gone_on_with(package: Packed, web: Web, tmp_path: Path, ranges: bool) -> None:
    file, digest = package
    web.files, web.ranges = {"/p/bolts.zip": file.read_bytes(), "/p/bolts.zip.sig": b"{}"}, ranges
    web.cut = 200 if ranges else 0
    got = fetch(f"{web.url}/p/bolts.zip", tmp_path / "to", digest)
    assert got.read_bytes() == file.read_bytes()
    assert left(tmp_path / "to") == ["bolts.zip", "bolts.zip.sig"]
    asked = [headers.get("Range") for path, headers in web.requests if path.endswith(".zip")]
    assert asked == ([None] + [f"bytes={at}-" for at in range(200, file.stat().st_size, 200)] if ranges else [None])


def test_a_later_call_goes_on_as_well(package: Packed, web: Web, tmp_path: Path) -> None:
    file, digest = package
    web.files, web.cut, web.ranges = {"/bolts.zip": file.read_bytes()}, 300, False
    with pytest.raises(RegistryError, match=r"broke off after 300 bytes.*it goes on where it stopped"):
        fetch(f"{web.url}/bolts.zip", tmp_path / "to", digest)
    assert left(tmp_path / "to") == [".bolts.zip.partial"]
    web.cut, web.ranges = 0, True
    web.requests.clear()
    assert fetch(f"{web.url}/bolts.zip", tmp_path / "to", digest).read_bytes() == file.read_bytes()
    assert dict(web.requests)["/bolts.zip"]["Range"] == "bytes=300-"


@pytest.mark.parametrize("stale", [b"x" * 100, b"x" * 10_000_000])
def test_a_part_of_something_else_is_dropped(package: Packed, web: Web, tmp_path: Path, stale: bytes) -> None:
    file, digest = package
    web.files = {"/bolts.zip": file.read_bytes()}
    (tmp_path / "to").mkdir()
    (tmp_path / "to/.bolts.zip.partial").write_bytes(stale)
    assert fetch(f"{web.url}/bolts.zip", tmp_path / "to", digest).read_bytes() == file.read_bytes()


def test_another_content_is_refused_and_gone(package: Packed, web: Web, tmp_path: Path) -> None:
    web.files = {"/bolts.zip": b"PK\x03\x04 something else"}
    with pytest.raises(RegistryError, match=r"bolts.zip: is sha256:.*was asked for; ask who published it"):
        fetch(f"{web.url}/bolts.zip", tmp_path / "to", package[1])
    assert left(tmp_path / "to") == []


def test_bounds(package: Packed, web: Web, tmp_path: Path) -> None:
    file, digest = package
    web.files = {"/bolts.zip": file.read_bytes()}
    with pytest.raises(RegistryError, match=r"long, and 100 bytes is the most"):
        fetch(f"{web.url}/bolts.zip", tmp_path / "to", digest, replace(SHORT, size=100))
    with pytest.raises(RegistryError, match=r"took longer than 0 s; run it again"):
        fetch(f"{web.url}/bolts.zip", tmp_path / "to", digest, replace(SHORT, duration=0.0))


def test_a_long_signature_is_refused(package: Packed, web: Web, tmp_path: Path) -> None:
    file, digest = package
    web.files = {"/bolts.zip": file.read_bytes(), "/bolts.zip.sig": b" " * (2 << 20)}
    with pytest.raises(RegistryError, match=r"bolts.zip.sig: is 2 MiB long"):
        fetch(f"{web.url}/bolts.zip", tmp_path / "to", digest)


def test_redirects_lead_to_encrypted_places_only(package: Packed, web: Web, tmp_path: Path) -> None:
    file, digest = package
    web.files = {"/there.zip": file.read_bytes()}
    web.leads = {
        "/good.zip": "/there.zip",
        "/plain.zip": "http://files.invalid/bolts.zip?token=secret",
        "/file.zip": "file:///etc/passwd",
        "/round.zip": "/round.zip",
    }
    assert fetch(f"{web.url}/good.zip", tmp_path / "to", digest).name == "good.zip"
    for path, words in (
        ("plain", "leads to http://files.invalid/bolts.zip is not encrypted"),
        ("file", "not encrypted"),
        ("round", "redirects more than"),
    ):
        with pytest.raises(RegistryError, match=words) as refused:
            fetch(f"{web.url}/{path}.zip", tmp_path / path, digest)
        assert "secret" not in str(refused.value)
    with serving() as other:
        other.files = {"/bolts.zip": file.read_bytes()}
        web.leads = {"/down.zip": f"{other.url}/bolts.zip"}
        with pytest.raises(RegistryError, match="have it lead to https"):
            fetch(f"{web.url}/down.zip", tmp_path / "down", digest)


def test_credentials_stay_with_their_host(
    package: Packed, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority
) -> None:  # type: ignore[no-untyped-def]
    file, digest = package
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login line password not-a-secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(authority.issue_cert("localhost")) as other:
        other.files = {"/bolts.zip": file.read_bytes()}
        web.leads = {"/bolts.zip": f"{other.url.replace('127.0.0.1', 'localhost')}/bolts.zip"}
        fetch(f"{web.url}/bolts.zip", tmp_path / "to", digest)
        assert "Authorization" in dict(web.requests)["/bolts.zip"]
        assert "Authorization" not in dict(other.requests)["/bolts.zip"]


@pytest.mark.parametrize(
    ("url", "digest", "error", "words"),
    [
        ("https://files.invalid/bolts.zip", "", UsageError, "needs a digest"),
        ("http://files.invalid/bolts.zip", "sha256:" + "0" * 64, RegistryError, "is not encrypted; use https"),
        ("https://me:secret@files.invalid/bolts.zip", "sha256:" + "0" * 64, UsageError, "holds a user or password"),
        ("ftp://files.invalid/bolts.zip", "", UsageError, "ftp:// is not a kind of address that is known"),
        ("https://127.0.0.1:1/bolts.zip", "sha256:" + "0" * 64, RegistryError, "broke off after 0 bytes"),
    ],
)
def test_refused_before_anything_is_written(
    tmp_path: Path, url: str, digest: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as refused:
        fetch(url, tmp_path / "to", digest)
    assert "secret" not in str(refused.value)
    assert left(tmp_path) == []


def test_an_unknown_certificate_is_not_trusted(
    package: Packed, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(RegistryError, match="its certificate is not trusted"):
        fetch(f"{web.url}/bolts.zip", tmp_path / "to", package[1])
    assert web.requests == []


def test_what_is_not_there(web: Web, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such package"):
        fetch(f"{web.url}/bolts.zip?sign=secret", tmp_path / "to", "sha256:" + "0" * 64)
