"""Which settings are compared: what the package had, and what may be made of it for a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tritonpm.core.errors import RuleError
from tritonpm.operations.artefacts import made, works_of
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.settings.backend import automatic
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context

# What `auto` chooses among, in this order where two of them serve the same.
_OPTIMIZERS = ("openvino", "ort-openvino", "none", "onnx")
_CHOSEN = ("optimizer", "precision", "device")  # what optimising decides; all else stays as it was asked for


def is_automatic(settings: Settings) -> bool:
    """Whether an optimizer is left to us."""
    return settings.optimizer == "auto" or any(own.get("optimizer") == "auto" for own in settings.stages.values())


def what_it_had(context: Context, record: Record, wanted: Settings) -> Settings:
    """The wanted settings as the package was optimised before: where that was not made, the models as they came."""
    present = record.settings
    asked = works_of(context, record)[0]
    if len(made(context, record)) < len(asked):
        present = _with(present, {"optimizer": "none", "precision": "FP32"})
    stages = {
        name: {**_less(wanted.stages.get(name, {})), **_only(present.stages.get(name, {}))}
        for name in {*wanted.stages, *present.stages}
    }
    chosen: dict[str, Any] = {field: getattr(present, field) for field in _CHOSEN}
    return replace(wanted, stages={name: own for name, own in sorted(stages.items()) if own}, **chosen)


def candidates(context: Context, record: Record, wanted: Settings) -> dict[str, Settings]:
    """By name: each optimizer that the rules allow where it is left to us, else what was asked for alone."""
    from tritonpm.settings import require

    if not is_automatic(wanted):
        return {_named(wanted): wanted}
    axes = batch_axes(context, record.package)
    allowed: dict[str, Settings] = {}
    for optimizer in _OPTIMIZERS:
        settings = _chosen_for(wanted, optimizer)
        try:
            require(record.package, settings, axes, context.target)
        except RuleError:
            continue
        allowed[optimizer] = settings
    return allowed


def incomparable(context: Context, record: Record, wanted: Settings) -> str:
    """Why what it had and what is wanted cannot be measured side by side here; "" where they can."""
    from tritonpm.core.errors import ServerError
    from tritonpm.triton import embedded

    both = (record.settings, wanted)
    if any(settings.for_stage(stage.name).on_gpu for settings in both for stage in record.package.stages):
        return "what runs on a GPU is measured with `tritonpm perf compare`"
    try:
        embedded.find(None)
    except ServerError:
        return "no tritonserver is installed on this machine"
    return ""


def _chosen_for(settings: Settings, optimizer: str) -> Settings:
    """With this optimizer wherever it was left to us."""
    stages = {
        name: {**own, "optimizer": optimizer} if own.get("optimizer") == "auto" else own
        for name, own in settings.stages.items()
    }
    return replace(settings, stages=stages, optimizer=optimizer if settings.optimizer == "auto" else settings.optimizer)


def _named(settings: Settings) -> str:
    """What was asked for, in a word: of a cascade whose stages differ, of the first that is optimised."""
    own = [settings, *(settings.for_stage(stage) for stage in settings.stages)]
    chosen = next((one for one in own if one.optimised), settings)
    if chosen.optimised and chosen.optimizer == "none":
        return automatic(chosen)
    return chosen.optimizer


def _with(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """With these values instead, of the package and of the stages that have one of their own."""
    stages = {
        name: {field: values.get(field, value) for field, value in own.items()} for name, own in settings.stages.items()
    }
    return replace(settings, stages=stages, **values)


def _only(own: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in own.items() if key in _CHOSEN}


def _less(own: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in own.items() if key not in _CHOSEN}
