"""What a load proves, what it leaves where it fails, and when a revision is a new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.models import logarithm
from tests.support.packages import package
from tests.support.workspaces import files_of, opened, running
from tritonpm.core.errors import ServerError, TritonpmError, WrongAnswerError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.remove import remove
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.unload import unload

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("server")]


def test_a_wrong_answer_does_not_go_live(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a", "wrong", expected=2.0))
    with pytest.raises(WrongAnswerError, match=r"output 'y' at \[0, 0\] is -1.0, expected 2.0"):
        load(context, "wrong")
    assert show(context, "wrong").status == "failed"
    assert "expected 2.0" in show(context, "wrong").reason
    with connect(context) as client:
        assert not client.ready("wrong")
    import_package(context, package(tmp_path / "b", "nan", weights=logarithm()))
    with pytest.raises(WrongAnswerError, match="NaN"):
        load(context, "nan")


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
    assert files_of(context) == set()


def test_what_served_before_serves_on_after_a_failed_load(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    load(context, "p")
    change(context, "p", {"max_batch_size": 2, "parameters": {"session.load_model_format": "ORT"}})
    with pytest.raises(ServerError, match=r"p could not be loaded: .*ONNX Runtime cannot load"):
        load(context, "p")
    view = show(context, "p")
    assert (view.status, view.pending, view.proved) == ("loaded", True, 1)
    assert "ONNX Runtime cannot load" in view.drift
    with connect(context) as client:
        assert client.ready("p")
        assert client.config("p")["max_batch_size"] == 8
    change(context, "p", {"parameters": {}})
    load(context, "p")
    assert show(context, "p").status == "loaded"


def test_a_server_that_reads_another_repository_is_told(context: Context, tmp_path: Path) -> None:
    init(tmp_path / "other")
    elsewhere = opened(tmp_path / "other", server=running(context).http)
    import_package(elsewhere, package(tmp_path / "a"))
    with pytest.raises(ServerError, match="p could not be loaded"):
        load(elsewhere, "p")
