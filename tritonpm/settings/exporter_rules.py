"""Rules for packages of the Mech-DLK exporter: what its versions and file kinds do not allow."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from tritonpm.data import Format, Task
from tritonpm.settings.rule import Case, Rule

EXPORTER = "mech-dlk"
_SWITCHING = (2, 4, 1)  # since when hardware and efficiency may be chosen
_NO_GPU_DEFAULT = (2, 2, 0)  # whose instance segmentations hold no model that a GPU takes as it came
ENGINE_SUFFIXES = (".dlkmt", ".plan", ".engine")


def _ours(case: Case) -> bool:
    return case.package.exporter.lower() == EXPORTER


def _version(case: Case) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", case.package.exporter_version)[:3]))


def _engine_only(case: Case) -> bool:
    return all(
        stage.format is Format.TENSORRT or PurePosixPath(stage.model).suffix.lower() in ENGINE_SUFFIXES
        for stage in case.package.stages
    )


def _chosen_otherwise(case: Case) -> bool:
    now, first = case.settings, case.default
    return (now.device, now.precision, now.optimizer, now.max_batch_size) != (
        first.device, first.precision, first.optimizer, first.max_batch_size,
    )  # fmt: skip


EXPORTER_RULES: tuple[Rule, ...] = (
    Rule(
        "mech-dlk-version",
        lambda c: _ours(c) and len(_version(c)) < 2,
        "Mech-DLK {package.exporter_version!r} is no version that can be compared",
        "correct the exporter's version in package.yaml, e.g. 2.4.1",
    ),
    Rule(
        "mech-dlk-switching",
        lambda c: _ours(c) and len(_version(c)) >= 2 and _version(c) < _SWITCHING and _chosen_otherwise(c),
        "hardware type and model efficiency of a Mech-DLK {package.exporter_version} package cannot be chosen",
        "export it with Mech-DLK 2.4.1 or later",
    ),
    Rule(
        "mech-dlk-gpu-default",
        lambda c: _ours(c) and c.settings.device == "gpu"
        and (c.stage.task is Task.INSTANCE_SEGMENTATION and _version(c) == _NO_GPU_DEFAULT),
        "an instance segmentation of Mech-DLK {package.exporter_version} does not run on the GPU as it came",
        "use --device gpu-optimised or --device cpu",
    ),
    Rule(
        "mech-dlk-engine-only",
        lambda c: _ours(c) and c.settings.device == "gpu" and _engine_only(c),
        "the package holds only an engine ({stage.model}), so GPU (default), the model as it came, is not available",
        "use --device gpu-optimised",
    ),
    Rule(
        "mech-dlk-slow-detection",
        lambda c: _ours(c) and c.stage.task is Task.OBJECT_DETECTION and c.settings.device == "cpu"
        and _version(c) == _SWITCHING and c.stage.max_instances == 1,
        "a detection of Mech-DLK {package.exporter_version} with at most one instance an image is slow on the CPU",
        "use a GPU type where there is one",
        level="warning",
    ),
)  # fmt: skip
