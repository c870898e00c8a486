"""The record of who did what is only added to, and survives a catalogue that is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workspaces import opened
from tritonpm.catalogue import Workspace, rebuild
from tritonpm.catalogue.audit import BEGUN, DONE, FAILED, REFUSED, TOKEN, Actor, Audit, this_user
from tritonpm.core.roles import Role
from tritonpm.operations.init import init

ANNA = Actor("anna", Role.OPERATE, TOKEN, "10.0.0.9")


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    init(tmp_path)
    return opened(tmp_path).catalogue.audit


def test_what_was_begun_is_there_before_it_ends(audit: Audit) -> None:
    number = audit.begin(ANNA, "load", "bolts")
    (entry,), total = audit.page(1, 10)
    assert (entry.who, entry.role, entry.way, entry.origin) == ("anna", "operate", "token", "10.0.0.9")
    assert (entry.action, entry.package, entry.outcome, entry.ended, total) == ("load", "bolts", BEGUN, 0, 1)
    audit.end(number, FAILED, "no server runs")
    (entry,), _ = audit.page(1, 10)
    assert (entry.outcome, entry.reason, entry.ended >= entry.at) == (FAILED, "no server runs", True)


def test_it_is_read_by_pages_packages_and_people(audit: Audit) -> None:
    for number in range(5):
        audit.end(audit.begin(ANNA if number % 2 else this_user(), "set", f"p{number}"), DONE)
    audit.end(audit.begin(ANNA, "import", ""), DONE, package="p9")
    entries, total = audit.page(2, 2)
    assert ([entry.package for entry in entries], total) == (["p3", "p2"], 6)
    assert [entry.package for entry in audit.page(1, 10, who="anna")[0]] == ["p9", "p3", "p1"]
    assert [entry.action for entry in audit.page(1, 10, package="p9")[0]] == ["import"]
    assert audit.page(1, 10, package="p3", who=this_user().name) == ([], 0)


def test_a_name_is_one_line_whatever_an_account_calls_itself(audit: Audit) -> None:
    audit.begin(Actor("eve\n2026-01-01 root\r\tadminister", Role.VIEW, TOKEN, ""), "set", "p")
    (entry,), _ = audit.page(1, 1)
    assert entry.who == "eve 2026-01-01 root administer"


def test_what_is_long_is_cut(audit: Audit) -> None:
    audit.begin(Actor("x" * 9999, Role.VIEW, TOKEN, ""), "set", "y" * 9999)
    (entry,), _ = audit.page(1, 1)
    assert len(entry.who) == len(entry.package) == 500


def test_a_rebuilt_catalogue_knows_what_was_done(audit: Audit, tmp_path: Path) -> None:
    audit.end(audit.begin(ANNA, "load", "bolts"), DONE)
    workspace = Workspace(tmp_path)
    rebuild(workspace)
    (entry,), _ = opened(tmp_path).catalogue.audit.page(1, 10)
    assert (entry.who, entry.outcome) == ("anna", DONE)


def test_the_oldest_go_where_there_are_too_many(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonpm.catalogue.audit.KEPT", 10)
    monkeypatch.setattr("tritonpm.catalogue.audit._CUT", 5)
    for number in range(33):
        audit.end(audit.begin(ANNA, "load", f"p{number}"), DONE)
    entries, total = audit.page(1, 100)
    assert (total, entries[0].package, entries[-1].package) == (13, "p32", "p20")
    assert audit._database.one("SELECT count(*) FROM outcomes")[0] == total


def test_what_is_refused_drives_nothing_out_that_was_done(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KEPT", 10), ("KEPT_REFUSALS", 3), ("_CUT", 5)):
        monkeypatch.setattr(f"tritonpm.catalogue.audit.{name}", value)
    audit.end(audit.begin(ANNA, "remove", "bolts"), DONE)
    for _ in range(33):
        audit.end(audit.begin(ANNA, "POST /packages", ""), REFUSED)
    entries, total = audit.page(1, 100)
    assert (entries[-1].action, total <= 3 + 5 + 1) == ("remove", True)
    assert audit._database.one("SELECT count(*) FROM outcomes")[0] == total
