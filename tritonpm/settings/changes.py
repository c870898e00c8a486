"""From loosely typed changes (a manifest, a command line) to `Settings`; types are checked here, rules elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

import msgspec

from tritonpm.core.errors import RuleError
from tritonpm.core.files import DIGEST
from tritonpm.core.types import BatchAxis, Format, Package, Task
from tritonpm.settings.exporter_rules import first_device
from tritonpm.settings.settings import Settings
from tritonpm.settings.types import DIGEST_IN_WORDS, TEXT_IN_WORDS

NAMES = tuple(field.name for field in fields(Settings))
_ONLY_ON = {Format.OPENVINO: "cpu", Format.TENSORRT: "gpu"}  # formats whose backend knows one device
_MOST = 1 << 63


def changed(settings: Settings, changes: Mapping[str, object], *, where: str = "settings") -> Settings:
    """`settings` with `changes` laid over them.

    Raises RuleError for an unknown name, a value of the wrong type, and a number that no catalogue can keep.
    """
    for name in changes:
        if name not in NAMES:
            raise _unknown(name, where)
    try:
        after = msgspec.convert({**vars(settings), **changes}, Settings)
    except msgspec.ValidationError as error:
        raise RuleError(_in_words(str(error)), where=where, do="give a value of that type") from None
    for name in changes:
        _require_kept(name, getattr(after, name), where)
    if "stages" in changes:
        after = replace(after, stages={stage: _own(stage, own) for stage, own in after.stages.items()})
    return after


def _own(stage: str, own: Mapping[str, object]) -> Mapping[str, object]:
    """What a stage has of its own, as it is kept: of the right types, as plain data."""
    if "stages" in own:
        raise RuleError("a stage has no stages of its own", where=f"stage {stage}", do="leave `stages` out")
    typed = changed(Settings(), own, where=f"stage {stage}")
    return {name: msgspec.to_builtins(getattr(typed, name)) for name in own}


def _in_words(mistake: str) -> str:
    """What msgspec says of a value; a pattern says nothing to a person."""
    what, _, place = mistake.partition(" - at ")
    if "regex" in what:
        what = f"Expected {DIGEST_IN_WORDS if DIGEST.pattern in what else TEXT_IN_WORDS}"
    place = place.strip("`").removeprefix("$").removeprefix(".")
    return f"{place}: {what[:1].lower()}{what[1:]}" if place else what


def _require_kept(name: str, value: object, where: str) -> None:
    """Raise RuleError for a number that cannot be stored: JSON knows no inf and no nan, and 64 bits for a whole one."""
    if isinstance(value, Mapping):
        for key, item in value.items() if name != "stages" else ():
            _require_kept(f"{name} {key}", item, where)
    elif isinstance(value, tuple):
        for item in value:
            _require_kept(name, item, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RuleError(f"{name} is {value}, which is not a number", where=where, do="give a finite number")
    elif isinstance(value, int) and not -_MOST <= value < _MOST:
        raise RuleError(f"{name} has more than 64 bits", where=where, do="give a smaller number")


def field_named(name: str) -> str:
    """The setting that is spelt `max_batch_size` or `max-batch-size`. Raises RuleError."""
    field = name.strip().removeprefix("--").replace("-", "_")
    if field not in NAMES:
        raise _unknown(name, "settings")
    return field


def _unknown(name: str, where: str) -> RuleError:
    return RuleError(f"there is no setting {name!r}", where=where, do=f"use one of {', '.join(NAMES)}")


def stage_changed(settings: Settings, stage: str, changes: Mapping[str, object]) -> Settings:
    """`settings` with `changes` for one stage only."""
    return changed(
        settings, {"stages": with_own(settings, stage, {**settings.stages.get(stage, {}), **changes}).stages}
    )


def unset(settings: Settings, fields: Iterable[str], starting: Settings, stage: str | None = None) -> Settings:
    """`settings` with each of `fields` as the package starts with it: `starting`; of a stage its own value goes.

    Raises RuleError for a name that is none.
    """
    names = [field_named(name) for name in fields]
    if stage is None:
        return replace(settings, **{name: getattr(starting, name) for name in names})
    first = starting.stages.get(stage, {})
    own = {name: value for name, value in settings.stages.get(stage, {}).items() if name not in names}
    return with_own(settings, stage, {**own, **{name: first[name] for name in names if name in first}})


def with_own(settings: Settings, stage: str, own: Mapping[str, object]) -> Settings:
    """`settings` with all that a stage has of its own; one that has nothing is not named."""
    others = {name: changes for name, changes in settings.stages.items() if name != stage}
    return replace(settings, stages={**others, stage: own} if own else others)


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
        elif only_declared(package, stage.name, axes[stage.name]):
            suggested.setdefault("dynamic_batching", False)
        if stage.format in _ONLY_ON and (_ONLY_ON[stage.format] == "cpu") != (device == "cpu"):
            suggested.setdefault("device", _ONLY_ON[stage.format])
        where = f"package.yaml: stages.{stage.name}.serving"
        if not package.cascade:
            settings = changed(settings, suggested, where=where)
        elif changes := {key: value for key, value in suggested.items() if getattr(settings, key, None) != value}:
            settings = stage_changed(settings, stage.name, changes)
    return settings


def only_declared(package: Package, stage: str, axis: BatchAxis) -> bool:
    """Whether nothing but the model's file says that its rows are independent: Triton then joins none by itself."""
    return axis.kind == "declared" and package.stage(stage).config is None


def unjoined(package: Package, settings: Settings, axes: Mapping[str, BatchAxis]) -> Settings:
    """`settings` without dynamic batching where the batch axis is only declared."""
    for name, axis in axes.items():
        if only_declared(package, name, axis) and settings.for_stage(name).dynamic_batching:
            off: dict[str, object] = {"dynamic_batching": False}
            settings = stage_changed(settings, name, off) if package.cascade else changed(settings, off)
    return settings


def batchable(package: Package, stage: str, axis: BatchAxis) -> bool:
    """Whether Triton may put several requests of this stage into one execution."""
    return axis.kind != "none" and package.stage(stage).task is not Task.INSTANCE_SEGMENTATION
