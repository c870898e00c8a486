"""Which workspace is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tritonpm.catalogue.workspace import create, find
from tritonpm.core.errors import UnsafeError

STRANGER = 4321


def test_a_workspace_of_somebody_else_is_one_only_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = create(tmp_path / "shared").root
    (root / "mine").mkdir()
    monkeypatch.chdir(root / "mine")
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert find().root == root
    if os.geteuid() == 0:
        os.chown(root / ".tritonpm", STRANGER, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    with pytest.raises(UnsafeError, match=r"is a workspace of another user .* name it with -w"):
        find()
    assert find(root).root == root
    if os.geteuid() == 0:
        monkeypatch.setenv("SUDO_UID", str(STRANGER))
        assert find().root == root
