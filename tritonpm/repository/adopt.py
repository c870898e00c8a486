"""A Triton model folder as it came: its config is the base; settings that differ from what it says are laid over it."""

from __future__ import annotations

from typing import Any

from tritonpm.core.errors import RenderError
from tritonpm.core.types import Stage
from tritonpm.repository.config import messages
from tritonpm.repository.warm_up import adopt_warm_up
from tritonpm.settings.settings import Settings


def in_folder(stage: Stage, path: str) -> str:
    """Where a file of an adopted stage, by its path in the package, lies in the model's folder."""
    return path.removeprefix(f"{stage.root}/") if stage.root else path


def settings_of(config: Any) -> dict[str, object]:
    """What a ModelConfig says of our settings, as changes to the defaults."""
    settings: dict[str, object] = {"max_batch_size": max(1, config.max_batch_size), "warmup": bool(config.model_warmup)}
    kinds = messages().ModelInstanceGroup
    if config.instance_group:
        count = sum(group.count or 1 for group in config.instance_group)
        settings["mode"] = "performance" if count > 1 else "shared"
        settings["instances"] = config.instance_group[0].count or 1 if count > 1 else None
        gpu = any(group.kind == kinds.KIND_GPU for group in config.instance_group)
        settings["device"] = "gpu" if gpu else "cpu"
        settings["gpus"] = (
            tuple(sorted({number for group in config.instance_group for number in group.gpus})) if gpu else ()
        )
        settings["group_per_gpu"] = gpu and len(config.instance_group) > 1
    batching = config.dynamic_batching
    settings["dynamic_batching"] = config.HasField("dynamic_batching")
    settings["preferred_batch_sizes"] = tuple(batching.preferred_batch_size)
    settings["queue_delay_us"] = int(batching.max_queue_delay_microseconds)
    settings["response_cache"] = config.response_cache.enable
    policy = config.version_policy
    if policy.HasField("all"):
        settings["version_policy"] = "all"
    elif policy.HasField("specific"):
        settings["version_policy"] = "specific:" + ",".join(str(number) for number in policy.specific.versions)
    elif policy.HasField("latest"):
        settings["version_policy"] = f"latest:{policy.latest.num_versions or 1}"
    return settings


def adapt(config: Any, settings: Settings, notes: list[str]) -> Any:
    """The adopted config with what the user changed since laid over it; everything else stays as it was.

    What would put the server at risk goes, with a note. Raises RenderError.
    """
    adapted = messages().ModelConfig()
    adapted.CopyFrom(config)
    before = settings_of(config)
    changed = {key for key, value in before.items() if value != getattr(settings, key)}
    if changed & {"mode", "instances", "device", "gpus", "group_per_gpu"} or not config.instance_group:
        _regroup(adapted, settings)
    if "max_batch_size" in changed and config.max_batch_size > 0:
        adapted.max_batch_size = settings.max_batch_size
    if changed & {"dynamic_batching", "preferred_batch_sizes", "queue_delay_us"}:
        adapted.ClearField("dynamic_batching")
        if settings.dynamic_batching and adapted.max_batch_size > 0:
            adapted.dynamic_batching.SetInParent()
            adapted.dynamic_batching.preferred_batch_size.extend(settings.preferred_batch_sizes)
            adapted.dynamic_batching.max_queue_delay_microseconds = settings.queue_delay_us
    if "response_cache" in changed:
        adapted.response_cache.enable = settings.response_cache
    for key, value in sorted(settings.parameters.items()):
        adapted.parameters[key].string_value = value
    make_safe(adapted, settings, notes)
    return adapted


def make_safe(config: Any, settings: Settings, notes: list[str]) -> None:
    """Take from an adopted config, also one for other hardware, what would put the server at risk.

    Raises RenderError where that cannot be done.
    """
    if not settings.warmup:
        config.ClearField("model_warmup")
    adopt_warm_up(config, notes)
    if config.max_batch_size > 0 and any(t.HasField("reshape") and not t.reshape.shape for t in config.input):
        _open_batch(config, notes)


def _open_batch(config: Any, notes: list[str]) -> None:
    """The batch as a dimension of each tensor: clients send the same. Raises RenderError for a sequence's model.

    A request without rows, reshaped to no dimension at all, ends the server.
    """
    if config.HasField("sequence_batching"):
        raise RenderError(
            "an input of its sequences is reshaped to no dimension, and a request without rows would end the server",
            where=config.name,
            do="give it the shape [1] in model and config",
        )
    for tensor in (*config.input, *config.output):
        tensor.dims.insert(0, -1)
        if tensor.HasField("reshape"):
            tensor.reshape.shape.insert(0, -1)
    for sample in config.model_warmup:
        for value in sample.inputs.values():
            value.dims.insert(0, sample.batch_size)
        sample.batch_size = min(1, sample.batch_size)
    config.max_batch_size = 0
    config.ClearField("dynamic_batching")
    notes.append("max_batch_size 0: an input has one value a row, and an empty batch of these would end the server")


def _regroup(config: Any, settings: Settings) -> None:
    kinds = messages().ModelInstanceGroup
    if config.HasField("ensemble_scheduling"):
        return
    config.ClearField("instance_group")
    kind = kinds.KIND_GPU if settings.on_gpu else kinds.KIND_CPU
    count = settings.instances or 1
    lists = [(gpu,) for gpu in settings.gpus] if settings.group_per_gpu else [settings.gpus]
    for gpus in lists:
        config.instance_group.append(kinds(count=count, kind=kind, gpus=gpus))
