"""Tokens are kept as digests, in a file that only its owner writes, and each opens until it is removed or expires."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tritonpm.catalogue.tokens import PREFIX, add_token, holder, read_tokens, remove_token
from tritonpm.core.errors import NotFoundError, StorageError, UsageError
from tritonpm.core.roles import Role


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_a_token_is_told_once_and_kept_as_a_digest(file: Path) -> None:
    token = add_token(file, "line-3", Role.OPERATE)
    assert token.startswith(PREFIX)
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    found = holder(read_tokens(file), token)
    assert found and (found.name, found.role) == ("line-3", Role.OPERATE)
    for wrong in ("", token[:-1], f"{token} ", found.digest, "\udcff"):
        assert holder(read_tokens(file), wrong) is None


def test_each_name_is_there_once_until_it_is_removed(file: Path) -> None:
    first, second = (add_token(file, name, Role.VIEW) for name in ("a", "b"))
    with pytest.raises(UsageError, match="a token 'a' already"):
        add_token(file, "a", Role.ADMINISTER)
    assert remove_token(file, "a")
    assert holder(read_tokens(file), first) is None
    assert holder(read_tokens(file), second)
    with pytest.raises(NotFoundError, match="no token 'a'"):
        remove_token(file, "a")
    assert not remove_token(file, "b")


@pytest.mark.parametrize("name", ["", "two words", "-x", "x" * 65, "ä", "a/b", "x\n"])
def test_a_name_is_one_that_can_be_printed_and_typed(file: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a name for a token"):
        add_token(file, name, Role.VIEW)
    assert not file.exists()


def test_an_expired_token_opens_nothing(file: Path) -> None:
    over, open_still = (
        add_token(file, "over", Role.VIEW, time.time() - 1),
        add_token(file, "b", Role.VIEW, time.time() + 3600),
    )
    assert holder(read_tokens(file), over) is None
    assert holder(read_tokens(file), open_still)


def test_a_token_ends_while_there_is_a_calendar(file: Path) -> None:
    with pytest.raises(UsageError, match="beyond the calendar"):
        add_token(file, "a", Role.VIEW, 1e300)
    assert not file.exists()


def test_a_file_that_others_write_or_that_is_rotten_is_refused(file: Path) -> None:
    assert read_tokens(file) == ()
    add_token(file, "a", Role.VIEW)
    file.chmod(0o620)
    with pytest.raises(StorageError, match="can be written by others"):
        read_tokens(file)
    file.chmod(0o600)
    (file.parent / "link").symlink_to("nowhere")
    with pytest.raises(StorageError, match="a link to what is not there"):
        read_tokens(file.parent / "link")
    rotten = (
        {"role": "root"},
        {"digest": "ä"},
        {"digest": ""},
        {"name": "a\x1b[2J"},
        {"expires": -1},
        {"created": 1e300},
    )
    entries = [{"name": "a", "role": "view", "digest": f"sha256:{0:064}", "created": 0} | one for one in rotten]
    for content in (b"", b"{}", b"\xff", *(json.dumps({"tokens": [entry]}).encode() for entry in entries)):
        file.write_bytes(content)
        with pytest.raises(StorageError, match="not a file of tokens"):
            read_tokens(file)
