"""Packages in a plain folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fetching import fetch, left, push, signed, written
from tritonpm.core.errors import NotFoundError, RegistryError

Packed = tuple[Path, str]


def test_what_is_pushed_is_pulled(package: Packed, tmp_path: Path) -> None:
    file, digest = package
    place = tmp_path / "a share"
    pushed = push(signed(file), str(place / "bolts-1.zip"))
    assert (pushed.digest, pushed.signed, pushed.url) == (digest, True, (place / "bolts-1.zip").as_uri())
    for number, url in enumerate((str(place / "bolts-1.zip"), pushed.url)):
        got = fetch(url, tmp_path / f"to{number}", digest)
        assert got.read_bytes() == file.read_bytes()
        assert left(got.parent) == ["bolts-1.zip", "bolts-1.zip.sig"]
    assert left(place) == ["bolts-1.zip", "bolts-1.zip.sig"]


def test_what_is_there_is_not_replaced_unasked(package: Packed, tmp_path: Path) -> None:
    push(signed(package[0]), str(tmp_path / "share/bolts.zip"))
    written(tmp_path / "other.zip", "2.0")
    with pytest.raises(RegistryError, match="something else is there"):
        push(tmp_path / "other.zip", str(tmp_path / "share/bolts.zip"))
    push(tmp_path / "other.zip", str(tmp_path / "share/bolts.zip"), force=True)
    assert left(tmp_path / "share") == ["bolts.zip"]


def test_what_is_not_there(package: Packed, tmp_path: Path) -> None:
    for url in (tmp_path / "nothing.zip", tmp_path):
        with pytest.raises(NotFoundError, match=r"no such file; name the package's .zip"):
            fetch(str(url), tmp_path / "to", "")
