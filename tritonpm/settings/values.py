"""What the value of a setting may be, whatever the package: for the command line, REST, YAML, manifests, catalogue.

Its type stands at the field of `Settings`. What is beyond it, bounds and words, is a row here, and so a rule, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tritonpm.core.errors import RuleError
from tritonpm.settings.rule import MOST_BATCH, Rule
from tritonpm.settings.settings import (
    DEVICES,
    MEASURES,
    ON_DEMAND,
    OPTIMIZERS,
    PINNED,
    PRECISIONS,
    SERVE,
    Settings,
)

# The least and the most of each number.
BOUNDS: Mapping[str, tuple[int, int]] = {
    "instances": (1, 64),
    "threads": (1, 1024),
    "max_batch_size": (0, MOST_BATCH),
    "queue_delay_us": (0, 10_000_000),  # what a load, a switch and an unload wait for
    "kept_versions": (1, 16),
    "idle_seconds": (1, 366 * 24 * 3600),
    "workspace_mb": (1, 1 << 20),
    "builder_level": (0, 5),
    "max_drop": (0, 1),
    "priority": (0, 1 << 16),
}
MOST_RESOURCES = 1 << 16  # of one kind, for the rate limiter
MOST_GPUS = 64
_NUMBER = r"[1-9][0-9]{0,8}"  # of versions: more digits are no number to Triton
_VERSION = r"[1-9][0-9]{0,17}"  # below 2^63


@dataclass(frozen=True)
class ValueRule:
    """A row: its name, which settings break it, its sentence (formatted with the settings) and what to do."""

    name: str
    broken: Callable[[Settings], bool]
    sentence: str
    do: str

    @property
    def rule(self) -> Rule:
        """The same as a rule of packages."""
        return Rule(self.name, lambda case: self.broken(case.settings), self.sentence, self.do)


def _outside(field: str) -> Callable[[Settings], bool]:
    least, most = BOUNDS[field]

    def broken(settings: Settings) -> bool:
        value = getattr(settings, field)
        return value is not None and not least <= value <= most

    return broken


def _range(field: str) -> str:
    return "{} to {}".format(*BOUNDS[field])


VALUE_RULES: tuple[ValueRule, ...] = (
    ValueRule(
        "mode",
        lambda s: s.mode not in ("shared", "performance"),
        "the mode is shared or performance, not {s.mode!r}",
        "use --mode shared or --mode performance",
    ),
    ValueRule(
        "device",
        lambda s: s.device not in DEVICES,
        "the device is cpu, gpu or gpu-optimised, not {s.device!r}",
        "use --device cpu, --device gpu or --device gpu-optimised",
    ),
    ValueRule(
        "serve",
        lambda s: s.serve not in SERVE,
        "a package serves tensors, image or encoded, not {s.serve!r}",
        "use --serve tensors, image or encoded",
    ),
    ValueRule(
        "precision",
        lambda s: s.precision not in PRECISIONS,
        "the precision is FP32, FP16 or INT8, not {s.precision!r}",
        "use --precision fp32, fp16 or int8",
    ),
    ValueRule(
        "optimizer",
        lambda s: s.optimizer not in ("none", "auto", *OPTIMIZERS),
        "there is no optimizer {s.optimizer!r}",
        f"use none, auto, {', '.join(OPTIMIZERS)}",
    ),
    ValueRule(
        "tolerances",
        lambda s: bool(s.unknown_measures),
        "there is no measure called {s.unknown_measures}",
        f"use {', '.join(MEASURES)}",
    ),
    ValueRule(
        "tolerance-range",
        lambda s: any(not 0 <= bound < math.inf for bound in s.tolerances.values()),
        "a tolerance is negative or infinite, which no answer can meet or miss",
        "give 0 or more",
    ),
    ValueRule(
        "backend",
        lambda s: s.backend is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", s.backend),
        "{s.backend!r} is not the name of a backend",
        "give the name of its folder, e.g. onnxruntime",
    ),
    ValueRule(
        "openvino-device",
        lambda s: not re.fullmatch(r"|CPU|GPU|NPU|AUTO(:.+)?|(HETERO|MULTI|BATCH):.+", s.openvino_device),
        "{s.openvino_device!r} is not an OpenVINO device",
        "use CPU, AUTO, HETERO:GPU,CPU or MULTI:CPU,GPU",
    ),
    ValueRule(
        "streams",
        lambda s: not re.fullmatch(r"|AUTO|[1-9][0-9]{0,2}", s.streams),
        "{s.streams!r} is not a number of streams",
        "use a whole number below 1000, or AUTO",
    ),
    ValueRule(
        "performance-hint",
        lambda s: s.performance_hint not in ("", "LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"),
        "{s.performance_hint!r} is not a performance hint",
        "use LATENCY, THROUGHPUT or CUMULATIVE_THROUGHPUT",
    ),
    ValueRule(
        "threads",
        _outside("threads"),
        f"an instance has {_range('threads')} threads, not {{s.threads}}",
        "choose --threads in that range",
    ),
    ValueRule(
        "compute-capability",
        lambda s: not re.fullmatch(r"|[1-9][0-9]?\.[0-9]", s.compute_capability),
        "{s.compute_capability!r} is not a compute capability",
        "give it as NVIDIA lists it, e.g. 8.9",
    ),
    ValueRule(
        "builder-level",
        _outside("builder_level"),
        f"TensorRT's builder optimisation level is {_range('builder_level')}, not {{s.builder_level}}",
        "choose --builder-level in that range",
    ),
    ValueRule(
        "build-workspace",
        _outside("workspace_mb"),
        f"the workspace of a TensorRT build is {_range('workspace_mb')} MiB, not {{s.workspace_mb}}",
        "choose --workspace-mb in that range",
    ),
    ValueRule(
        "max-drop",
        _outside("max_drop"),
        f"the score that may be lost is a share from {_range('max_drop')}, not {{s.max_drop}}",
        "use --max-drop 0.01 for one per cent",
    ),
    ValueRule(
        "batch-size-range",
        _outside("max_batch_size"),
        "the batch size is 0 to {most}, not {s.max_batch_size}",
        "choose a --max-batch-size in that range",
    ),
    ValueRule(
        "instances-range",
        _outside("instances"),
        f"a package has {_range('instances')} instances, not {{s.instances}}",
        "choose --instances in that range",
    ),
    ValueRule(
        "gpu-index",
        lambda s: len(set(s.gpus)) != len(s.gpus) or any(not 0 <= gpu < MOST_GPUS for gpu in s.gpus),
        f"the GPU list {{s.gpus}} has a repeated index, or one that is not 0 to {MOST_GPUS - 1}",
        "name each GPU once, as `nvidia-smi -L` numbers them",
    ),
    ValueRule(
        "queue-delay",
        _outside("queue_delay_us"),
        f"the queue delay is {_range('queue_delay_us')} µs, not {{s.queue_delay_us}}",
        "choose --queue-delay-us in that range",
    ),
    ValueRule(
        "version-policy",
        lambda s: not re.fullmatch(rf"all|latest:{_NUMBER}|specific:{_VERSION}(,{_VERSION})*", s.version_policy),
        "the version policy {s.version_policy!r} is not one that Triton knows",
        "use latest:N, all or specific:1,3",
    ),
    ValueRule(
        "kept-versions",
        _outside("kept_versions"),
        f"{_range('kept_versions')} contents stay served, not {{s.kept_versions}}",
        f"use --kept-versions {_range('kept_versions')}",
    ),
    ValueRule(
        "residency",
        lambda s: s.residency not in (PINNED, ON_DEMAND),
        "the residency is pinned or on-demand, not {s.residency!r}",
        "use --residency pinned or on-demand",
    ),
    ValueRule(
        "idle-seconds",
        _outside("idle_seconds"),
        f"a package is idle after {_range('idle_seconds')} seconds, not {{s.idle_seconds}}",
        "choose --idle-seconds in that range",
    ),
    ValueRule(
        "rate-limiter",
        lambda s: _outside("priority")(s) or any(not 0 <= count <= MOST_RESOURCES for count in s.rate_limiter.values()),
        f"the rate limiter's counts and priority are {_range('priority')}",
        "choose them in that range",
    ),
)


def broken_values(settings: Settings) -> list[ValueRule]:
    """The rows that settings break, those of single stages too."""
    everyone = (settings, *(settings.for_stage(stage) for stage in settings.stages))
    return [row for row in VALUE_RULES if any(row.broken(one) for one in everyone)]


def require_values(settings: Settings, where: str) -> None:
    """Raise RuleError with the sentence of the first row that is broken."""
    for one in (settings, *(settings.for_stage(stage) for stage in settings.stages)):
        for row in VALUE_RULES:
            if row.broken(one):
                raise RuleError(row.sentence.format(s=one, most=MOST_BATCH), where=where, do=row.do)
