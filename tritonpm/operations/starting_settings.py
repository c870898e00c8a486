"""The settings that a package starts with on this machine: ours, its exporter's, and those of an adopted config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonpm.core.types import BatchAxis, Package
from tritonpm.operations.batch_axes import Place, in_blobs
from tritonpm.operations.render import configs

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings


def starting_settings(context: Context, package: Package, axes: Mapping[str, BatchAxis]) -> Settings:
    """What `--unset` goes back to."""
    from tritonpm.settings import defaults

    return adopted(package, defaults(package, axes, "gpu" if context.target.gpus else "cpu"), in_blobs(context))


def adopted(package: Package, settings: Settings, place: Place) -> Settings:
    """Settings with what an adopted folder's own config says laid over them; in a cascade stage by stage."""
    from tritonpm.package.config import parsed
    from tritonpm.repository.adopt import settings_of
    from tritonpm.settings import changed

    texts = configs(package, place)
    said = {stage.name: settings_of(parsed(texts[path], path)) for stage in package.stages if (path := stage.config)}
    if not package.cascade:
        for own in said.values():
            settings = changed(settings, own)
        return settings
    stages = dict(settings.stages)
    for name, own in said.items():
        differing = {key: value for key, value in own.items() if value != getattr(settings, key)}
        if both := {**differing, **stages.get(name, {})}:
            stages[name] = both
    return replace(settings, stages=stages)
