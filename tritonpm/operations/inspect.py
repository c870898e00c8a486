"""`tritonpm inspect`: what a file or folder holds, nothing kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonpm.core.apart import Apart
from tritonpm.core.scratch import temporary
from tritonpm.operations.cascades import why_not_by_itself
from tritonpm.operations.show import StageView, stage_view


@dataclass(frozen=True)
class Inspection:
    """What a file holds."""

    name: str
    type: str
    version: str
    digest: str
    stages: tuple[StageView, ...]
    verdict: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def inspect(path: Path, *, allow_code: bool = False) -> Inspection:
    """What a file or folder holds, nothing kept. Raises PackageError."""
    from tritonpm.package.apart import read_apart

    with temporary("inspect") as scratch, Apart() as apart:
        staging = scratch / "package"
        staging.mkdir()
        package = read_apart(apart, path, staging, scratch, allow_code=allow_code)
        notes = tuple(filter(None, [why_not_by_itself(package, lambda file: staging / file.path)]))
    kinds = " + ".join(stage.task.value.replace("-", " ") for stage in package.stages)
    stages = tuple(replace(stage_view(package, one.name, None), settings=one.serving) for one in package.stages)
    return Inspection(package.name, kinds, package.version, package.digest, stages, package.verdict, notes)
