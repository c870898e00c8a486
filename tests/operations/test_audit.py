"""Who did what is recorded by the operations themselves, whoever calls them."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import single
from tritonpm.catalogue.audit import TOKEN, Actor
from tritonpm.cli.app import COMMANDS
from tritonpm.core.errors import NoServerError, NotFoundError, StorageError, UsageError
from tritonpm.core.roles import Role
from tritonpm.operations import audit
from tritonpm.operations.audit import AuditView, acting, audit_page, refused
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.optimize.jobs import start
from tritonpm.operations.pull import pull
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.set import change
from tritonpm.operations.upgrade import upgrade

OPERATIONS = Path(audit.__file__).parent


def told(context: Context) -> list[tuple[str, str, str, str]]:
    """What is recorded, the oldest first."""
    return [(entry.action, entry.package, entry.detail, entry.outcome) for entry in reversed(audit_page(context)[0])]


def test_each_operation_is_recorded_once_with_what_was_chosen(context: Context, tmp_path: Path) -> None:
    source = single(tmp_path / "in", scaled(2.0))
    import_package(context, source)
    change(context, "p", {"priority": 3})
    rename(context, "p", "q")
    with pytest.raises(NoServerError):
        load(context, "q")
    remove(context, "q")
    assert told(context) == [
        ("import", "p", "source=in", "done"), ("set", "p", "priority=3", "done"), ("rename", "p", "new_name=q", "done"),
        ("load", "q", "", "failed"), ("remove", "q", "", "done"),
    ]  # fmt: skip
    assert audit_page(context)[0][1].reason == "no server is running for this workspace"


def test_no_credential_of_an_address_is_recorded(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    with pytest.raises(UsageError):
        upgrade(context, "p", "https://anna:secret@site.invalid/p.zip?X-Amz-Signature=secret")
    assert told(context)[-1] == ("upgrade", "p", "source=https://site.invalid/p.zip", "failed")


def test_what_an_operation_consists_of_is_part_of_it(context: Context, tmp_path: Path) -> None:
    pull(context, shutil.make_archive(str(tmp_path / "p"), "zip", single(tmp_path / "in", scaled(2.0))))
    assert [action for action, *_ in told(context)] == ["pull"]


def test_it_is_known_who_asks_and_from_where(context: Context) -> None:
    anna = replace(context, actor=Actor("anna", Role.OPERATE, TOKEN, "10.0.0.9"))
    with pytest.raises(NotFoundError):
        remove(anna, "nobody")
    with pytest.raises(ZeroDivisionError), acting(context, "load", "p"):
        raise ZeroDivisionError
    by_us, by_anna = audit_page(context)[0]
    assert (by_anna.who, by_anna.role, by_anna.origin) == ("anna", "operate", "10.0.0.9")
    assert (by_us.way, by_us.role, by_us.reason) == ("user", "administer", "ZeroDivisionError")


def test_a_full_disk_keeps_nobody_from_making_room(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise StorageError("the disk is full")

    told: list[str] = []
    monkeypatch.setattr(type(context.catalogue.audit), "begin", full)
    with acting(replace(context, warn=told.append), "prune", "p"):
        pass
    assert told == ["This is not recorded: the disk is full"]
    refused(context, "DELETE /packages/{name}", "p", "the role does not allow this")


def test_what_is_optimised_for_is_recorded(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    with pytest.raises(UsageError):
        start(context, "p", context.catalogue.get("p").settings)
    assert told(context)[-1] == ("optimize", "p", "device=cpu, precision=FP32, optimizer=none", "failed")


def test_the_view_is_that_of_the_json(context: Context) -> None:
    with acting(context, "load", "p"):
        (entry,), total = audit_page(context)
    assert isinstance(entry, AuditView)
    assert (entry.outcome, entry.ended, total) == ("begun", "", 1)


# What changes nothing that lasts, and what consists of verbs that are recorded themselves; a lease is its own record.
NOT_RECORDED = {
    "run", "client", "list", "show", "inspect", "adopt", "plan", "apply", "declare", "infer", "status", "why", "use",
    "projects", "history", "diff", "convert", "profile", "perf", "render", "lint", "targets", "deploy", "sign", "logs",
    "top", "ui", "audit", "mcp", "init", "config", "doctor", "schema", "completion",
}  # fmt: skip


def test_every_verb_is_recorded_or_known_not_to_be() -> None:
    sources = "".join(path.read_text("utf-8") for path in OPERATIONS.rglob("*.py"))
    actions = set(re.findall(r'(?:@audited\(|acting\(\w+, )"([\w ]+)"', sources))
    verbs = {action.split()[0] for action in actions}
    assert verbs & NOT_RECORDED == set()
    assert set(COMMANDS) == (verbs - {"release", "measure"}) | NOT_RECORDED  # `use --release`; of the page alone
