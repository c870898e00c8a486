"""Tasks that are said anew: another content, and no stage or task that there is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.packages import package
from tritonpm.core.errors import UsageError
from tritonpm.core.types import Task
from tritonpm.package import inspect
from tritonpm.package.tasks import with_tasks


def test_another_task_is_another_content(tmp_path: Path) -> None:
    read = inspect(package(tmp_path / "a"))
    [stage] = read.stages
    assert with_tasks(read, {}) == with_tasks(read, {stage.name: stage.task.value}) == read
    other = with_tasks(read, {stage.name: "anomaly-detection"})
    assert other.stages[0].task is Task.ANOMALY_DETECTION
    assert other.digest != read.digest
    assert with_tasks(other, {stage.name: stage.task.value}) == read


@pytest.mark.parametrize(
    ("tasks", "said"),
    [({"nobody": "other"}, "has no stage 'nobody'"), ({"s": "dancing"}, "there is no task 'dancing'")],
)
def test_what_there_is_not_is_refused(tmp_path: Path, tasks: dict[str, str], said: str) -> None:
    read = inspect(package(tmp_path / "a"))
    with pytest.raises(UsageError, match=said):
        with_tasks(read, {read.stages[0].name if name == "s" else name: task for name, task in tasks.items()})
