"""What stages do, said anew by who hands a package in: the file's word holds until then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tritonpm.core.errors import UsageError
from tritonpm.core.types import Package, Task
from tritonpm.package.reader import digest


def with_tasks(package: Package, tasks: Mapping[str, str]) -> Package:
    """The package with these tasks of its stages, by name; another task is another content.

    Raises UsageError where there is no such stage or task.
    """
    names = {stage.name for stage in package.stages}
    known = [task.value for task in Task]
    for name, task in tasks.items():
        if name not in names:
            raise UsageError(f"has no stage {name!r}", where=package.name, do=f"name one of {', '.join(sorted(names))}")
        if task not in known:
            raise UsageError(f"there is no task {task!r}", where=package.name, do=f"use one of {', '.join(known)}")
    stages = tuple(replace(stage, task=Task(tasks.get(stage.name, stage.task))) for stage in package.stages)
    if stages == package.stages:
        return package
    changed = replace(package, stages=stages)
    return replace(changed, digest=digest(changed))
