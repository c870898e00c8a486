"""Tokens of a workspace, or of a file that is named, and the record of who made them."""

from __future__ import annotations

from pathlib import Path

from tritonpm.catalogue.tokens import holder, read_tokens
from tritonpm.core.roles import Role
from tritonpm.operations.audit import audit_page
from tritonpm.operations.context import Context
from tritonpm.operations.token import add, remove, tokens


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
