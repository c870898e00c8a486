"""The declared state: planned without a write, applied once, and then there is nothing to do."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consistency import said
from tests.support.models import scaled
from tests.support.packages import cascade, single
from tests.support.page import zipped
from tests.support.registries import Web
from tests.support.waiting import until
from tests.support.workspaces import QUICKLY, opened, publish
from tritonpm.core.errors import ManifestError, PackageError, RuleError, TritonpmError
from tritonpm.core.files import digest_of
from tritonpm.operations.context import Context
from tritonpm.operations.declaration import apply, export, plan, read
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.serve import serve
from tritonpm.operations.server import own_server
from tritonpm.operations.show import show
from tritonpm.operations.status import status
from tritonpm.operations.stop import stop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two packages and their declaration, not loaded."""
    single(tmp_path / "one", scaled(2.0))
    cascade(tmp_path / "two", scaled(2.0, result="m"), scaled(3.0, source="m"))
    (tmp_path / "tritonpm.yaml").write_text(
        "packages:\n"
        "  bolts: {source: one, settings: {mode: performance, instances: 2}, loaded: false}\n"
        "  nuts: {source: two, stages: {second: {max_batch_size: 2}}, loaded: false}\n"
    )
    init(tmp_path / "workspace")
    return tmp_path


def _ours(path: Path) -> bool:
    """All but what SQLite keeps beside an open database."""
    return path.is_file() and "sqlite" not in path.name


def serving_of(folder: Path) -> Context:
    return opened(folder / "workspace")


def test_a_plan_writes_nothing_and_apply_leaves_nothing_to_do(folder: Path) -> None:
    context, path = serving_of(folder), folder / "tritonpm.yaml"
    before = {each: each.stat().st_mtime_ns for each in folder.rglob("*") if _ours(each)}
    assert said(plan(context, path).actions) == [("import", "bolts"), ("import", "nuts")]
    after = {each: each.stat().st_mtime_ns for each in folder.rglob("*") if _ours(each)}
    assert after == before
    assert said(apply(context, path)) == [("import", "bolts"), ("import", "nuts")]
    assert said(apply(context, path)) == []
    assert show(context, "bolts").instances == 2
    assert show(context, "nuts").settings.for_stage("second").max_batch_size == 2
    assert set(json.loads((folder / "tritonpm.lock").read_text())) == {"bolts", "nuts"}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"bolts": 1}', b'{"bolts": "\xff"}', b"[" * 100_000])
def test_a_lock_file_that_is_none_is_a_sentence(folder: Path, content: bytes) -> None:
    (folder / "tritonpm.lock").write_bytes(content)
    with pytest.raises(ManifestError, match=r"tritonpm\.lock: .*is not a lock file"):
        plan(serving_of(folder), folder / "tritonpm.yaml")


def test_what_changed_is_set_upgraded_and_pruned(folder: Path) -> None:
    context, path = serving_of(folder), folder / "tritonpm.yaml"
    list(apply(context, path))
    (folder / "one/m.onnx").write_bytes(scaled(5.0))
    with pytest.raises(PackageError, match=r"lock pins.*apply --update"):
        plan(context, path)
    path.write_text("packages:\n  bolts: {source: one, settings: {mode: shared, instances: null}, loaded: false}\n")
    todo = plan(context, path, prune=True, update=True).actions
    assert said(todo) == [("upgrade", "bolts"), ("set", "bolts"), ("remove", "nuts")]
    assert "mode: performance → shared" in todo[1].sentence
    assert said(apply(context, path, prune=True, update=True)) == said(todo)
    assert said(apply(context, path, prune=True)) == []
    assert [entry.name for entry in packages(context.catalogue)] == ["bolts"]


def test_a_second_machine_becomes_the_same(folder: Path) -> None:
    list(apply(serving_of(folder), folder / "tritonpm.yaml"))
    init(folder / "other")
    other = opened(folder / "other")
    list(apply(other, folder / "tritonpm.yaml"))
    first = serving_of(folder)
    for name in ("bolts", "nuts"):
        assert publish(other, name).digest == publish(first, name).digest


def test_a_workspace_declares_itself(folder: Path) -> None:
    context = serving_of(folder)
    list(apply(context, folder / "tritonpm.yaml"))
    again = folder / "again.yaml"
    again.write_text(export(context))
    assert said(plan(context, again).actions) == []
    init(folder / "bare")
    with pytest.raises(PackageError, match="`tritonpm export bolts` where it is"):
        plan(opened(folder / "bare"), again)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("packages: {p: {}}", "source"),
        ("packages: {p: {source: one, colour: red}}", "colour"),
        ("packages: {p: {source: 3}}", "packages"),
        ("nothing: 1", "nothing"),
        ("packages: {p: {source: one}}\npackages: {}", "a second 'packages'"),
    ],
)
def test_a_wrong_declaration_names_the_place(folder: Path, text: str, words: str) -> None:
    (folder / "tritonpm.yaml").write_text(text)
    with pytest.raises(ManifestError, match=words):
        read(folder / "tritonpm.yaml")


def test_a_setting_that_breaks_a_rule_is_refused_before_anything_is_done(folder: Path) -> None:
    context, path = serving_of(folder), folder / "tritonpm.yaml"
    list(apply(context, path))
    path.write_text("packages:\n  bolts: {source: one, settings: {colour: red}, loaded: false}\n")
    with pytest.raises(RuleError, match="no setting 'colour'"):
        list(apply(context, path))
    path.write_text("packages:\n  bolts: {source: one, settings: {max_batch_size: 100000}, loaded: false}\n")
    with pytest.raises(RuleError, match="0 to 65536"):
        list(apply(context, path))
    assert show(context, "bolts").max_batch_size == 8


@pytest.fixture
def context(folder: Path) -> Iterator[Context]:
    context = serving_of(folder)
    serve(context, None, **QUICKLY)
    yield context
    stop(context, 15)


@pytest.mark.server
def test_what_is_declared_as_loaded_is_loaded_and_changed_live(context: Context, folder: Path) -> None:
    path = folder / "tritonpm.yaml"
    path.write_text(path.read_text().replace("loaded: false", "loaded: true"))
    assert said(apply(context, path)) == [("import", "bolts"), ("load", "bolts"), ("import", "nuts"), ("load", "nuts")]
    path.write_text(path.read_text().replace("instances: 2", "instances: 1"))
    assert said(apply(context, path)) == [("set", "bolts")]
    assert show(context, "bolts").pending is False
    path.write_text("packages: {}\n")
    assert said(apply(context, path, prune=True))[-1][0] == "remove"
    assert status(context).models == () or all(m.state != "READY" for m in status(context).models)
    assert os.listdir(context.workspace.repository) == []  # noqa: PTH208


@pytest.mark.server
def test_what_a_killed_server_had_loaded_is_to_be_loaded(context: Context, folder: Path) -> None:
    path = folder / "tritonpm.yaml"
    path.write_text("packages:\n  bolts: {source: one}\n")
    list(apply(context, path))
    server = own_server(context)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: own_server(context) is None)
    assert said(plan(context, path).actions) == [("load", "bolts")]
    path.write_text("packages: {}\n")
    assert said(apply(context, path, prune=True)) == [("remove", "bolts")]  # nothing is there to be unloaded


def test_what_a_source_asks_with_is_never_said(folder: Path, web: Web) -> None:
    """A signed address is a credential."""
    file = zipped(folder / "signed", scaled(5.0), "signed")
    web.files = {"/signed.zip": file.read_bytes()}
    address = f"{web.url}/signed.zip?sig=a-secret#fragment"
    declared = folder / "signed.yaml"
    declared.write_text(f"packages: {{signed: {{source: '{address}', digest: '{digest_of(file)}', loaded: false}}}}\n")
    context = serving_of(folder)
    for actions in (plan(context, declared).actions, list(apply(context, declared))):
        assert [action.what for action in actions] == ["import"]
        assert "/signed.zip" in actions[0].sentence
        assert "secret" not in str(actions)
    assert "secret" not in (folder / "tritonpm.lock").read_text()


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ("settings: {max_batch_size: x}", "settings: max_batch_size: expected `int`"),
        ("settings: {queue_delay_us: 9999999999999}", "the queue delay is 0 to 10000000"),
        ("settings: {tolerances: {max_abs: -1}}", "a tolerance is negative"),
        ("settings: {colour: red}", "there is no setting 'colour'"),
        ("stages: {s: {threads: 4000}}", "an instance has 1 to 1024 threads"),
        ("stages: {s: {stages: {}}}", "no stages of its own"),
        ("projects: ['  ']", "is not a name for a project"),
    ],
)
def test_what_no_package_may_have_is_refused_when_it_is_read(folder: Path, declared: str, sentence: str) -> None:
    path = folder / "other.yaml"
    path.write_text(f"packages: {{p: {{source: nowhere, {declared}}}}}\n")
    with pytest.raises(TritonpmError, match=sentence):
        read(path)
