"""Who a request comes from, by what it sends."""

from __future__ import annotations

import base64
from pathlib import Path

from tritonpm.catalogue.audit import OPEN
from tritonpm.catalogue.tokens import add_token, remove_token
from tritonpm.core.roles import Role
from tritonpm.web.callers import SHARED, Callers, cookie, given_token


def test_tokens_are_read_as_they_are_sent() -> None:
    assert given_token("Bearer abc") == "abc"
    assert given_token("basic " + "eDphYmM=") == "abc"
    assert given_token("Basic !!") == ""
    assert given_token("Digest abc") == ""


def test_cookies_are_read_and_nonsense_is_none() -> None:
    assert cookie({"cookie": "a=1; b=2"}, "b") == "2"
    assert cookie({}, "b") == cookie({"cookie": "\x00;=;"}, "b") == ""


def test_each_token_is_somebody(tmp_path: Path) -> None:
    callers = Callers("the shared one of the page", tmp_path / "tokens.json", closed=False)
    token = add_token(tmp_path / "tokens.json", "line-3", Role.OPERATE)
    password = base64.b64encode(f"anybody:{token}".encode()).decode()
    for header in (f"Bearer {token}", f"Basic {password}"):
        actor = callers.of({"authorization": header}, "10.0.0.9")
        assert actor and (actor.name, actor.role, actor.origin) == ("line-3", Role.OPERATE, "10.0.0.9")
    shared = callers.of({"authorization": "Bearer the shared one of the page"}, "")
    assert shared and (shared.name, shared.role) == (SHARED, Role.ADMINISTER)
    for header in ("", "Bearer", "Bearer \udcff", f"Bearer {token}x"):
        assert callers.of({"authorization": header}, "") is None
    assert callers.of({}, "") is None


def test_without_any_token_whoever_works_here_is_let_in(tmp_path: Path) -> None:
    callers = Callers("", tmp_path / "tokens.json", closed=False)
    actor = callers.of({}, "127.0.0.1")
    assert actor and (actor.way, actor.role) == (OPEN, Role.ADMINISTER)
    assert Callers("", tmp_path / "tokens.json", closed=True).of({}, "127.0.0.1") is None


def test_a_file_of_tokens_that_is_lost_opens_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    (tmp_path / "link").symlink_to("nowhere")
    assert Callers("", tmp_path / "link", closed=False).of({}, "127.0.0.1") is None
    token = add_token(file, "line-3", Role.OPERATE)
    callers = Callers("", file, closed=False)
    assert callers.closed
    file.rename(tmp_path / "aside")
    assert callers.of({}, "127.0.0.1") is None
    assert callers.of({"authorization": f"Bearer {token}"}, "127.0.0.1") is None
    (tmp_path / "aside").rename(file)
    assert callers.of({"authorization": f"Bearer {token}"}, "127.0.0.1")
    remove_token(file, "line-3")
    actor = callers.of({}, "127.0.0.1")
    assert actor and actor.way == OPEN
