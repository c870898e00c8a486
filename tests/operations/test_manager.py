"""The use cases together: what goes live, what does not, and what is left after each."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.models import logarithm
from tests.support.packages import package
from tests.support.repositories import BASE, MODEL, model
from tritonpm.core.errors import NameTakenError, RuleError, ServerError, StorageError, TritonpmError, UnsafeError
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    init(tmp_path / "workspace")
    return Manager.open(tmp_path / "workspace")


@pytest.fixture
def serving(manager: Manager) -> Iterator[Serving]:
    found = Serving(manager)
    found.serve(None, detach=True, timeout=60, standard_ports=False)
    yield found
    found.stop(15)


def state(manager: Manager) -> set[str]:
    """Every file of the workspace that a refusal could leave behind."""
    kept = (manager.workspace.blobs, manager.workspace.repository, manager.workspace.staging, manager.workspace.records)
    return {str(path) for root in kept for path in root.rglob("*") if path.is_file()}


def test_a_refusal_leaves_nothing(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(package(tmp_path / "a"))
    before = state(manager)
    with pytest.raises(NameTakenError, match="taken"):
        manager.import_package(package(tmp_path / "b", expected=2.0))
    with pytest.raises(NameTakenError, match="same content is there as 'p'"):
        manager.import_package(tmp_path / "a", name="q")
    with pytest.raises(RuleError, match="1 to 128"):
        manager.import_package(package(tmp_path / "c", "c", expected=3.0), changes={"max_batch_size": 0})
    code = model(tmp_path / "repository", BASE.replace("onnxruntime", "python"))
    (code / "1/model.py").write_text("print('hello')")
    with pytest.raises(UnsafeError, match="allow-code"):
        manager.import_package(code)
    assert state(manager) == before
    assert [p.name for p in manager.packages()] == ["p"]


def test_two_managers_at_once_both_succeed(manager: Manager, tmp_path: Path) -> None:
    sources = [package(tmp_path / f"s{i}", f"p{i}", expected=float(i)) for i in range(6)]
    root = manager.workspace.root
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda source: Manager.open(root).import_package(source), sources))
    assert [p.name for p in manager.packages()] == [f"p{i}" for i in range(6)]


def test_settings_of_an_adopted_folder_are_its_own(manager: Manager, tmp_path: Path) -> None:
    text = BASE.replace("count: 1", "count: 3") + 'metric_tags { key: "a" value: "b" }'
    model(tmp_path / "repository", text)
    view = manager.import_package(tmp_path / "repository/m")
    assert (view.mode, view.instances, view.max_batch_size) == ("performance", 3, 8)
    manager.render("m", tmp_path / "out")
    said = (tmp_path / "out/m/config.pbtxt").read_text()
    assert "metric_tags" in said
    assert "count: 3" in said
    manager.change("m", {"max_batch_size": 4})
    manager.render("m", tmp_path / "out")
    assert "max_batch_size: 4" in (tmp_path / "out/m/config.pbtxt").read_text()


def test_an_operators_folder_is_told_and_not_replaced(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(package(tmp_path / "a"))
    foreign = model(manager.workspace.repository, name="p")
    with pytest.raises(StorageError, match="did not make"), manager.changing("publish"):
        manager.publish("p")
    assert (foreign / "1/model.onnx").read_bytes() == MODEL


def test_what_a_crash_left_is_finished_by_the_next_change(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(package(tmp_path / "a"))
    with manager.changing("publish"):
        revision = manager.publish("p")
    folder = manager.workspace.repository / "p"
    with pytest.raises(KeyboardInterrupt), manager.catalogue.intent("publish", (revision.name,)):
        (folder / "1/model.onnx").unlink()  # as if the process had died in the middle
        raise KeyboardInterrupt
    again = Manager.open(manager.workspace.root)
    again.change("p", {"priority": 1})
    assert (folder / "1/model.onnx").read_bytes() == MODEL
    assert again.catalogue.open_intents() == []


@pytest.mark.server
def test_a_wrong_answer_does_not_go_live(serving: Serving, tmp_path: Path) -> None:
    manager = serving.manager
    manager.import_package(package(tmp_path / "a", "wrong", expected=2.0))
    with pytest.raises(ServerError, match=r"output 'y' at \[0, 0\] is -1.0, expected 2.0"):
        serving.load("wrong")
    assert manager.show("wrong").status == "failed"
    assert "expected 2.0" in manager.show("wrong").reason
    with serving.client() as client:
        assert not client.ready("wrong")
    manager.import_package(package(tmp_path / "b", "nan", weights=logarithm()))
    with pytest.raises(ServerError, match="NaN"):
        serving.load("nan")


@pytest.mark.server
def test_revisions_change_only_with_what_is_served(serving: Serving, tmp_path: Path) -> None:
    manager = serving.manager
    manager.import_package(package(tmp_path / "a"))
    assert serving.load("p").revision == 1
    assert serving.load("p").revision == 1
    view = manager.change("p", {"max_batch_size": 2})
    assert view.pending
    assert serving.load("p").revision == 2
    assert not manager.show("p").pending
    with serving.client() as client:
        assert client.config("p")["max_batch_size"] == 2
    with pytest.raises(TritonpmError, match="unload"):
        manager.remove("p")
    serving.unload("p")
    manager.remove("p")
    assert state(manager) == set()


@pytest.mark.server
def test_what_served_before_serves_on_after_a_failed_load(serving: Serving, tmp_path: Path) -> None:
    manager = serving.manager
    manager.import_package(package(tmp_path / "a"))
    serving.load("p")
    manager.change("p", {"max_batch_size": 2, "parameters": {"intra_op_thread_count": "many"}})
    with pytest.raises(ServerError, match=r"p could not be loaded: .*intra_op_thread_count"):
        serving.load("p")
    view = manager.show("p")
    assert (view.status, view.pending) == ("failed", True)
    with serving.client() as client:
        assert client.ready("p")
        assert client.config("p")["max_batch_size"] == 8
    manager.change("p", {"parameters": {}})
    serving.load("p")
    assert manager.show("p").status == "loaded"


@pytest.mark.server
def test_a_server_that_reads_another_repository_is_told(serving: Serving, tmp_path: Path) -> None:
    init(tmp_path / "other")
    elsewhere = Manager.open(tmp_path / "other", server=serving.server.http if serving.server else "")
    elsewhere.import_package(package(tmp_path / "a"))
    with pytest.raises(ServerError, match="p could not be loaded"):
        Serving(elsewhere).load("p")


def test_the_wheel_carries_the_templates(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "tritonpm/_templates/config.pbtxt.j2" in names
    assert "tritonpm/backends/onnxruntime/model.py" in names
    assert not [name for name in names if name.startswith(("tests", "examples"))]
    code = "from tritonpm.repository.templates import packaged; print(packaged())"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", check=True, capture_output=True, text=True
    ).stdout.strip()
    assert Path(said) == tmp_path / "site/tritonpm/_templates"
