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
from tests.support.workspaces import opened, publish, running
from tritonpm.core.errors import NameTakenError, RuleError, ServerError, StorageError, TritonpmError, UnsafeError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.load import load
from tritonpm.operations.local_repository import changing
from tritonpm.operations.remove import remove
from tritonpm.operations.render import render
from tritonpm.operations.serve import serve, stop
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.unload import unload


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "workspace")
    return opened(tmp_path / "workspace")


@pytest.fixture
def server(context: Context) -> Iterator[None]:
    serve(context, None, detach=True, timeout=60, standard_ports=False)
    yield
    stop(context, 15)


def state(context: Context) -> set[str]:
    """Every file of the workspace that a refusal could leave behind."""
    kept = (context.workspace.blobs, context.workspace.repository, context.workspace.staging, context.workspace.records)
    return {str(path) for root in kept for path in root.rglob("*") if path.is_file()}


def test_a_refusal_leaves_nothing(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    before = state(context)
    with pytest.raises(NameTakenError, match="taken"):
        import_package(context, package(tmp_path / "b", expected=2.0))
    with pytest.raises(NameTakenError, match="same content is there as 'p'"):
        import_package(context, tmp_path / "a", name="q")
    with pytest.raises(RuleError, match="1 to 128"):
        import_package(context, package(tmp_path / "c", "c", expected=3.0), changes={"max_batch_size": 0})
    code = model(tmp_path / "repository", BASE.replace("onnxruntime", "python"))
    (code / "1/model.py").write_text("print('hello')")
    with pytest.raises(UnsafeError, match="allow-code"):
        import_package(context, code)
    assert state(context) == before
    assert [p.name for p in packages(context.catalogue)] == ["p"]


def test_two_managers_at_once_both_succeed(context: Context, tmp_path: Path) -> None:
    sources = [package(tmp_path / f"s{i}", f"p{i}", expected=float(i)) for i in range(6)]
    root = context.workspace.root
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda source: import_package(opened(root), source), sources))
    assert [p.name for p in packages(context.catalogue)] == [f"p{i}" for i in range(6)]


def test_settings_of_an_adopted_folder_are_its_own(context: Context, tmp_path: Path) -> None:
    text = BASE.replace("count: 1", "count: 3") + 'metric_tags { key: "a" value: "b" }'
    model(tmp_path / "repository", text)
    view = import_package(context, tmp_path / "repository/m")
    assert (view.mode, view.instances, view.max_batch_size) == ("performance", 3, 8)
    render(context, "m", tmp_path / "out")
    said = (tmp_path / "out/m/config.pbtxt").read_text()
    assert "metric_tags" in said
    assert "count: 3" in said
    change(context, "m", {"max_batch_size": 4})
    render(context, "m", tmp_path / "out")
    assert "max_batch_size: 4" in (tmp_path / "out/m/config.pbtxt").read_text()


def test_an_operators_folder_is_told_and_not_replaced(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    foreign = model(context.workspace.repository, name="p")
    with pytest.raises(StorageError, match="did not make"), changing(context, "publish"):
        publish(context, "p")
    assert (foreign / "1/model.onnx").read_bytes() == MODEL


def test_what_a_crash_left_is_finished_by_the_next_change(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    with changing(context, "publish"):
        revision = publish(context, "p")
    folder = context.workspace.repository / "p"
    with pytest.raises(KeyboardInterrupt), context.catalogue.intent("publish", (revision.name,)):
        (folder / "1/model.onnx").unlink()  # as if the process had died in the middle
        raise KeyboardInterrupt
    again = opened(context.workspace.root)
    change(again, "p", {"priority": 1})
    assert (folder / "1/model.onnx").read_bytes() == MODEL
    assert again.catalogue.open_intents() == []


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_a_wrong_answer_does_not_go_live(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a", "wrong", expected=2.0))
    with pytest.raises(ServerError, match=r"output 'y' at \[0, 0\] is -1.0, expected 2.0"):
        load(context, "wrong")
    assert show(context, "wrong").status == "failed"
    assert "expected 2.0" in show(context, "wrong").reason
    with connect(context) as client:
        assert not client.ready("wrong")
    import_package(context, package(tmp_path / "b", "nan", weights=logarithm()))
    with pytest.raises(ServerError, match="NaN"):
        load(context, "nan")


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_revisions_change_only_with_what_is_served(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    assert load(context, "p").revision == 1
    assert load(context, "p").revision == 1
    view = change(context, "p", {"max_batch_size": 2})
    assert view.pending
    assert load(context, "p").revision == 2
    assert not show(context, "p").pending
    with connect(context) as client:
        assert client.config("p")["max_batch_size"] == 2
    with pytest.raises(TritonpmError, match="unload"):
        remove(context, "p")
    unload(context, "p")
    remove(context, "p")
    assert state(context) == set()


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_served_before_serves_on_after_a_failed_load(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    load(context, "p")
    change(context, "p", {"max_batch_size": 2, "parameters": {"intra_op_thread_count": "many"}})
    with pytest.raises(ServerError, match=r"p could not be loaded: .*intra_op_thread_count"):
        load(context, "p")
    view = show(context, "p")
    assert (view.status, view.pending, view.proved) == ("loaded", True, 1)
    assert "intra_op_thread_count" in view.drift
    with connect(context) as client:
        assert client.ready("p")
        assert client.config("p")["max_batch_size"] == 8
    change(context, "p", {"parameters": {}})
    load(context, "p")
    assert show(context, "p").status == "loaded"


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_a_server_that_reads_another_repository_is_told(context: Context, tmp_path: Path) -> None:
    init(tmp_path / "other")
    elsewhere = opened(tmp_path / "other", server=running(context).http)
    import_package(elsewhere, package(tmp_path / "a"))
    with pytest.raises(ServerError, match="p could not be loaded"):
        load(elsewhere, "p")


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
