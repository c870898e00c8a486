"""Files that wait: taken once, given back, deleted when they are old, and not too many."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tritonpm.core.errors import BusyError, NotFoundError
from tritonpm.web.held import HeldUpload, HeldUploads, Upload


def waiting(path: Path) -> HeldUpload:
    path.write_bytes(b"x")
    held = ExitStack()
    held.callback(path.unlink)
    return HeldUpload(Upload(path, held), path.name)


def test_a_file_is_taken_once_and_given_back(tmp_path: Path) -> None:
    files, held = HeldUploads(), waiting(tmp_path / "a.zip")
    files.hold(held)
    assert files.get(held.id) is files.take(held.id)
    with pytest.raises(NotFoundError, match="is no longer waiting"):
        files.take(held.id)
    files.give_back(held)
    files.expire()
    assert held.path.exists()
    files.close()
    assert not held.path.exists()
    with pytest.raises(NotFoundError):
        files.get(held.id)


def test_what_was_tried_for_long_waits_as_long_as_what_has_just_come(tmp_path: Path) -> None:
    files, held = HeldUploads(), replace(waiting(tmp_path / "a.zip"), since=-1e6)
    files.hold(held)
    files.give_back(files.take(held.id))
    files.expire()
    assert files.get(held.id).path.exists()
    files.close()


def test_no_more_than_so_many_wait(tmp_path: Path) -> None:
    files = HeldUploads()
    for number in range(64):
        files.hold(waiting(tmp_path / f"{number}.zip"))
    with pytest.raises(BusyError, match="64 files wait"):
        files.hold(waiting(tmp_path / "more.zip"))
    files.close()
    assert [path.name for path in tmp_path.iterdir()] == ["more.zip"]
