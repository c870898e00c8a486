"""Files that are replaced whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonpm.core.errors import StorageError
from tritonpm.core.files import write_atomically


def test_what_is_written_takes_the_place_of_what_was_there_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        write_atomically(tmp_path / "kept.json", content)
        assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
        assert (tmp_path / "kept.json").read_bytes() == content


def test_what_cannot_be_written_is_a_sentence_and_what_was_there_stays(tmp_path: Path) -> None:
    place = tmp_path / "kept.json"
    write_atomically(place, b"old")
    (tmp_path / "kept.json.new").mkdir()  # somebody's folder is in the way
    with pytest.raises(StorageError, match=r"kept.json: cannot be written"):
        write_atomically(place, b"new")
    assert place.read_bytes() == b"old"
