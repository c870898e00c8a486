"""The workspace's own repository: nobody else's folder is replaced, and a crash is finished by the next change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import cascade, package
from tests.support.repositories import MODEL, model
from tests.support.workspaces import opened, publish
from tritonpm.core.errors import StorageError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.local_repository import DELIVERY, changing, models
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.set import change
from tritonpm.operations.upgrade import exchange
from tritonpm.operations.verify import verify


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


def test_a_delivery_that_was_killed_before_it_proved_anything_leaves_what_was_proved(
    published: Context, tmp_path: Path
) -> None:
    published.catalogue.prove("c", 1, probed=True, loaded=False)
    before = models(published, "c")
    exchange(published, "c", cascade(tmp_path / "new", scaled(5.0, result="m"), scaled(7.0, source="m")))
    new = [model.name for model in wanted_revision(published, "c").models]
    published.catalogue.intent(DELIVERY, (*before, *new, "c.next")).__enter__()
    publish(published, "c")  # and killed
    assert models(published, "c") == tuple(new)
    change(published, "p", {"max_batch_size": 2})  # any change of anything
    record = published.catalogue.get("c")
    assert (record.revision, record.proved, record.changed) == (1, 1, True)
    assert {path.name for path in published.workspace.repository.iterdir()} == {"p", *before}
    assert verify(published) == []
