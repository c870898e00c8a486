"""Tokens of a workspace, or of a file that is named, and the record of who made them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonpm.catalogue import audit
from tritonpm.catalogue.tokens import holder, read_tokens
from tritonpm.core.errors import StorageError
from tritonpm.core.roles import Role
from tritonpm.operations.audit import audit_page
from tritonpm.operations.context import Context
from tritonpm.operations.token import add, remove, token_file, tokens


def test_tokens_are_listed_without_what_opens(context: Context) -> None:
    token = add(context, "line-3", Role.OPERATE, days=2)
    add(context, "anna", Role.ADMINISTER)
    anna, line = tokens(context)
    assert (anna.name, anna.role, anna.expires, anna.expired) == ("anna", Role.ADMINISTER, "", False)
    assert (line.name, bool(line.expires), line.expired) == ("line-3", True, False)
    assert token not in repr((anna, line, audit_page(context)))


def test_a_file_of_its_own_is_another(context: Context, tmp_path: Path) -> None:
    token = add(context, "line-3", Role.VIEW, file=tmp_path / "tokens.json")
    assert holder(read_tokens(tmp_path / "tokens.json"), token)
    assert tokens(context) == []
    assert not remove(context, "line-3", file=tmp_path / "tokens.json")


def test_who_let_somebody_in_is_recorded(context: Context) -> None:
    add(context, "line-3", Role.OPERATE)
    remove(context, "line-3")
    gone, made = audit_page(context)[0]
    assert (made.action, made.package, made.detail) == ("token add", "", "name=line-3, role=operate")
    assert (gone.action, gone.detail, gone.outcome) == ("token remove", "name=line-3", "done")


def test_a_file_of_tokens_that_is_lost_leaves_no_page_open(context: Context, tmp_path: Path) -> None:
    assert token_file(context) == context.workspace.tokens
    add(context, "line-3", Role.VIEW, file=tmp_path / "tokens.json")
    assert not token_file(context).exists()
    add(context, "line-3", Role.VIEW)
    token_file(context).unlink()
    with pytest.raises(StorageError, match="is lost, and with it who may open the page"):
        token_file(context)
    add(context, "line-3", Role.VIEW)
    remove(context, "line-3")
    assert tokens(context) == []
    assert token_file(context).exists()


def test_that_tokens_were_made_is_known_however_much_happens_after_it(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "KEPT", 5)
    monkeypatch.setattr(audit, "_CUT", 1)
    add(context, "line-3", Role.VIEW)
    for _ in range(10):
        context.catalogue.audit.end(context.catalogue.audit.begin(context.actor, "load", "bolts"), audit.DONE)
    assert audit_page(context)[1] == 6
    assert context.catalogue.audit.tokens_were_made()
