"""What the user has said once for all holds for programs too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tritonpm
from tritonpm.core.errors import NotFoundError, UsageError
from tritonpm.core.user_config import KEYS
from tritonpm.operations.init import init
from tritonpm.triton.connection import Connection


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, and an environment that says nothing; both are as before afterwards."""
    for variable, _ in KEYS.values():
        monkeypatch.setenv(variable, "")  # so that it is put back, whoever sets it meanwhile
        monkeypatch.delenv(variable)
    monkeypatch.setenv("TRITONPM_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config.toml"


def test_a_program_opens_what_the_user_has_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a workspace"), tritonpm.open():
        pass
    init(tmp_path / "line")
    (tmp_path / "token").write_text("a-token\n")
    file.write_text(f'workspace = "{tmp_path}/line"\nserver = "triton.site:8000"\nmemory_mb = 4096\n')
    with tritonpm.open() as context:
        assert context.workspace.root == tmp_path / "line"
        assert context.server == Connection("triton.site:8000")
        assert os.environ["TRITONPM_MEMORY_MB"] == "4096"


def test_what_is_given_goes_over_it(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(tmp_path / "line")
    init(tmp_path / "other")
    (tmp_path / "token").write_text("a-token\n")
    file.write_text(
        f'workspace = "{tmp_path}/line"\nserver = "triton.site:8000"\nserver_token_file = "{tmp_path}/token"\n'
    )
    with tritonpm.open(tmp_path / "other", server="") as context:
        assert (context.workspace.root, context.server) == (tmp_path / "other", None)
    with tritonpm.open(server="here:1") as context:
        assert context.server == "here:1"
    monkeypatch.setenv("TRITON_URL", "there:2")
    with tritonpm.open() as context:
        assert context.server == Connection("there:2", {"authorization": "Bearer a-token"})


def test_a_file_that_is_wrong_is_a_sentence(file: Path) -> None:
    file.write_text("colour = 1\n")
    with pytest.raises(UsageError, match="there is no key 'colour'"), tritonpm.open():
        pass
    assert "TRITONPM_WORKSPACE" not in os.environ
