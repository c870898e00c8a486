"""The workspace's own repository: nobody else's folder is replaced, and a crash is finished by the next change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.packages import package
from tests.support.repositories import MODEL, model
from tests.support.workspaces import opened, publish
from tritonpm.core.errors import StorageError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.local_repository import changing
from tritonpm.operations.set import change


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
