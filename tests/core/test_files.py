"""One way to replace a file: all of the old or all of the new, and nothing beside it; one to link it, one to digest it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tritonpm.core.errors import StorageError
from tritonpm.core.files import digest_of, digest_of_bytes, link_or_copy, replacing, write_atomically


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A file with an old content; whatever happens, nothing lies beside it afterwards."""
    place = tmp_path / "answer.json"
    place.write_bytes(b"old")
    yield place
    assert list(tmp_path.iterdir()) == [place]


def test_a_file_is_replaced(place: Path) -> None:
    write_atomically(place, b"new")
    assert place.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_one(place: Path) -> None:
    with pytest.raises(StorageError, match="the disk is full") as caught, replacing(place) as aside:
        aside.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.where == str(place)
    assert place.read_bytes() == b"old"


def test_another_failure_passes_as_it_is(place: Path) -> None:
    with pytest.raises(ValueError, match="no model"), replacing(place) as aside:
        aside.write_bytes(b"half")
        raise ValueError("no model")
    assert place.read_bytes() == b"old"


def test_a_place_that_cannot_be_is_named(place: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written") as caught:
        write_atomically(place / "inside", b"new")
    assert caught.value.where == str(place / "inside")


def test_two_who_write_at_once_see_no_half_of_each_other(place: Path) -> None:
    with replacing(place) as aside:
        aside.write_bytes(b"half")
        other = Thread(target=write_atomically, args=(place, b"other"))
        other.start()
        other.join()
        assert place.read_bytes() == b"other"
        aside.write_bytes(b"whole")
    assert place.read_bytes() == b"whole"


def test_the_same_bytes_where_that_can_be_else_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blob").write_bytes(b"weights")
    link_or_copy(tmp_path / "blob", tmp_path / "linked")
    assert (tmp_path / "linked").samefile(tmp_path / "blob")

    def refused(source: Path, place: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    link_or_copy(tmp_path / "blob", tmp_path / "copied")
    assert not (tmp_path / "copied").samefile(tmp_path / "blob")
    assert (tmp_path / "copied").read_bytes() == b"weights"


def test_a_digest_is_of_what_is_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert digest_of(tmp_path / "file") == digest_of_bytes(b"abc") == known


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_link_that_was_planted_is_not_followed(place: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    victim = place.with_name("victim")
    victim.write_bytes(b"theirs")
    monkeypatch.setattr(os, "urandom", lambda size: b"a" * size)
    planted = place.with_name(f".{(b'a' * 8).hex()}.new")
    if when == "before":
        planted.symlink_to(victim)
    with pytest.raises(StorageError, match=r"exist|replaced"), replacing(place) as aside:
        planted.unlink()
        planted.symlink_to(victim)
        aside.write_bytes(b"ours")
    assert victim.read_bytes() == b"theirs"
    assert place.read_bytes() == b"old"
    for file in (victim, planted):
        file.unlink(missing_ok=True)
