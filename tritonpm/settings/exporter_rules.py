"""Rules for packages of the Mech-DLK exporter: what its versions and file kinds do not allow."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from tritonpm.core.types import Format, Package, Task
from tritonpm.settings.rule import Case, Rule
from tritonpm.settings.settings import Settings

EXPORTER = "mech-dlk"
_SWITCHING = (2, 4, 1)  # since when hardware and efficiency may be chosen
_NO_GPU_DEFAULT = (2, 2, 0)  # whose instance segmentations hold no model that a GPU takes as it came
ENGINE_SUFFIXES = (".dlkmt", ".plan", ".engine")


def _ours(case: Case) -> bool:
    return case.package.exporter.lower() == EXPORTER


def _version(package: Package) -> tuple[int, ...]:
    """Three numbers, () where it is no such version: 2.4 is 2.4.0, and 2.4.1-rc1 is none."""
    if not re.fullmatch(r"\d+(\.\d+){1,2}", package.exporter_version):
        return ()
    parts = [int(part) for part in package.exporter_version.split(".")]
    return (*parts, *[0] * (3 - len(parts)))


def _engine_only(package: Package) -> bool:
    return all(
        stage.format is Format.TENSORRT or PurePosixPath(stage.model).suffix.lower() in ENGINE_SUFFIXES
        for stage in package.stages
    )


def _not_on_the_gpu(package: Package) -> bool:
    segments = any(stage.task is Task.INSTANCE_SEGMENTATION for stage in package.stages)
    return segments and _version(package) == _NO_GPU_DEFAULT


def first_device(package: Package, device: str) -> str:
    """The device that a package starts with where `device` is the machine's: what its exporter's rules allow."""
    if package.exporter.lower() != EXPORTER:
        return device
    if _engine_only(package):
        return "gpu-optimised"
    return "cpu" if _not_on_the_gpu(package) else device


def _chosen_otherwise(case: Case) -> bool:
    def efficiency(settings: Settings) -> tuple[object, ...]:
        return settings.device, settings.precision, settings.optimizer, settings.max_batch_size

    return efficiency(case.settings) not in [efficiency(default) for default in case.defaults]


EXPORTER_RULES: tuple[Rule, ...] = (
    Rule(
        "mech-dlk-version",
        lambda c: _ours(c) and not _version(c.package),
        "Mech-DLK {package.exporter_version!r} is not a version that can be compared",
        "correct the exporter's version in package.yaml, e.g. 2.4.1",
    ),
    Rule(
        "mech-dlk-switching",
        lambda c: _ours(c) and () < _version(c.package) < _SWITCHING and _chosen_otherwise(c),
        "hardware type and model efficiency of a Mech-DLK {package.exporter_version} package cannot be chosen",
        "export it with Mech-DLK 2.4.1 or later",
    ),
    Rule(
        "mech-dlk-gpu-default",
        lambda c: _ours(c) and c.settings.device == "gpu" and _not_on_the_gpu(c.package),
        "an instance segmentation of Mech-DLK {package.exporter_version} does not run on the GPU as it came",
        "use --device gpu-optimised or --device cpu",
    ),
    Rule(
        "mech-dlk-engine-only",
        lambda c: _ours(c) and c.settings.device == "gpu" and _engine_only(c.package),
        "the package holds only an engine ({stage.model}), so GPU (default), the model as it came, is not available",
        "use --device gpu-optimised",
    ),
    Rule(
        "mech-dlk-slow-detection",
        lambda c: _ours(c) and c.stage.task is Task.OBJECT_DETECTION and c.settings.device == "cpu"
        and _version(c.package) == _SWITCHING and c.stage.max_instances == 1,
        "a detection of Mech-DLK {package.exporter_version} with at most one instance per image is slow on the CPU",
        "use a GPU type where there is one",
        level="warning",
    ),
)  # fmt: skip
