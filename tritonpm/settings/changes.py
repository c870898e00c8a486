"""From loosely typed changes (a manifest, a command line) to `Settings`; types are checked here, rules elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import msgspec

from tritonpm.core.errors import RuleError
from tritonpm.core.types import BatchAxis, Format, Package, Task
from tritonpm.settings.exporter_rules import first_device
from tritonpm.settings.settings import Settings

NAMES = tuple(field.name for field in fields(Settings))
_ONLY_ON = {Format.OPENVINO: "cpu", Format.TENSORRT: "gpu"}  # formats whose backend knows one device
OF_A_STAGE = tuple(name for name in NAMES if name != "stages")


def changed(settings: Settings, changes: Mapping[str, object], *, where: str = "settings") -> Settings:
    """`settings` with `changes` laid over them. Raises RuleError for an unknown name or a value of the wrong type."""
    for name in changes:
        if name not in NAMES:
            raise RuleError(f"there is no setting {name!r}", where=where, do=f"use one of {', '.join(NAMES)}")
    try:
        return msgspec.convert({**vars(settings), **changes}, Settings)
    except msgspec.ValidationError as error:
        raise RuleError(str(error), where=where, do="give a value of that type") from None


def stage_changed(settings: Settings, stage: str, changes: Mapping[str, object]) -> Settings:
    """`settings` with `changes` for one stage only."""
    changed(Settings(), {key: value for key, value in changes.items() if key in OF_A_STAGE}, where=f"stage {stage}")
    own = {**settings.stages.get(stage, {}), **changes}
    return changed(settings, {"stages": {**settings.stages, stage: own}})


def defaults(package: Package, axes: Mapping[str, BatchAxis], device: str) -> Settings:
    """The settings a package starts with: ours, then its exporter's; batched only where there is an axis."""
    device = first_device(package, device)
    settings = changed(Settings(), {"device": device})
    if not any(batchable(package, name, axis) for name, axis in axes.items()):
        settings = changed(settings, {"max_batch_size": 1})
    for stage in package.stages:
        suggested = dict(stage.serving)
        if not batchable(package, stage.name, axes[stage.name]):
            suggested.setdefault("max_batch_size", 1)
        if stage.format in _ONLY_ON and (_ONLY_ON[stage.format] == "cpu") != (device == "cpu"):
            suggested.setdefault("device", _ONLY_ON[stage.format])
        where = f"package.yaml: stages.{stage.name}.serving"
        if not package.cascade:
            settings = changed(settings, suggested, where=where)
        elif changes := {key: value for key, value in suggested.items() if getattr(settings, key, None) != value}:
            settings = stage_changed(settings, stage.name, changes)
    return settings


def batchable(package: Package, stage: str, axis: BatchAxis) -> bool:
    """Whether Triton may put several requests of this stage into one execution."""
    return axis.kind != "none" and package.stage(stage).task is not Task.INSTANCE_SEGMENTATION
