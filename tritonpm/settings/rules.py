"""The rules, one row each: the CLI's error, the page's tooltip and docs/rules.md come from the same row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tritonpm.data import BACKENDS, CODE_PARAMETERS, BatchAxis, Format, Package, Settings, Stage, Target, Task
from tritonpm.errors import RuleError

MOST_BATCH = 128
MOST_INSTANCES = 64


@dataclass(frozen=True)
class Case:
    """What a rule looks at: one stage of a package with the settings in force for it."""

    package: Package
    stage: Stage
    settings: Settings
    axis: BatchAxis
    target: Target

    @property
    def backend(self) -> str:
        """The backend that will serve the stage."""
        return self.settings.backend or BACKENDS.get(self.stage.format, ("",))[0]


@dataclass(frozen=True)
class Rule:
    """A rule's name, when it is broken, its sentence (formatted with the case) and what to do."""

    name: str
    broken: Callable[[Case], bool]
    sentence: str
    do: str

    def explain(self, case: Case) -> str:
        """The sentence for this case."""
        return self.sentence.format(s=case.settings, stage=case.stage, case=case, axis=case.axis, most=MOST_BATCH)


def _wrong_backend(case: Case) -> bool:
    known = BACKENDS.get(case.stage.format)
    return case.settings.backend is not None and known is not None and case.settings.backend not in known


def _bad_version_policy(policy: str) -> bool:
    kind, _, rest = policy.partition(":")
    if kind == "all":
        return bool(rest)
    numbers = rest.split(",")
    if kind not in ("latest", "specific") or not all(number.isdecimal() and int(number) > 0 for number in numbers):
        return True
    return kind == "latest" and len(numbers) != 1


RULES: tuple[Rule, ...] = (
    Rule(
        "mode",
        lambda c: c.settings.mode not in ("shared", "performance"),
        "the mode is shared or performance, not {s.mode!r}",
        "use --mode shared or --mode performance",
    ),
    Rule(
        "device",
        lambda c: c.settings.device not in ("cpu", "gpu"),
        "the device is cpu or gpu, not {s.device!r}",
        "use --device cpu or --device gpu",
    ),
    Rule(
        "batch-size-range",
        lambda c: not 1 <= c.settings.max_batch_size <= MOST_BATCH,
        "the batch size is 1 to {most}, not {s.max_batch_size}",
        "choose a --max-batch-size in that range",
    ),
    Rule(
        "instance-segmentation-batch",
        lambda c: c.stage.task is Task.INSTANCE_SEGMENTATION and c.settings.max_batch_size != 1,
        "stage {stage.name!r} is an instance segmentation, whose batch size must be 1, not {s.max_batch_size}",
        "use --max-batch-size 1",
    ),
    Rule(
        "batch-axis",
        lambda c: c.axis.kind == "none" and c.settings.max_batch_size > 1,
        "stage {stage.name!r} cannot be batched: {axis.reason}",
        "use --max-batch-size 1",
    ),
    Rule(
        "shared-instances",
        lambda c: c.settings.mode == "shared" and c.settings.instances not in (None, 1),
        "shared mode runs one instance, not {s.instances}",
        "use --mode performance for more",
    ),
    Rule(
        "instances-range",
        lambda c: c.settings.instances is not None and not 1 <= c.settings.instances <= MOST_INSTANCES,
        f"a package has 1 to {MOST_INSTANCES} instances, not {{s.instances}}",
        "choose --instances in that range",
    ),
    Rule(
        "gpus-need-gpu",
        lambda c: c.settings.device != "gpu" and bool(c.settings.gpus or c.settings.group_per_gpu),
        "GPUs are listed but the device is {s.device}",
        "use --device gpu, or leave the GPUs out",
    ),
    Rule(
        "gpu-index",
        lambda c: len(set(c.settings.gpus)) != len(c.settings.gpus) or any(gpu < 0 for gpu in c.settings.gpus),
        "the GPU list {s.gpus} has a negative or repeated index",
        "name each GPU once, as `nvidia-smi -L` numbers them",
    ),
    Rule(
        "backend-of-format",
        _wrong_backend,
        "the {s.backend} backend cannot serve {stage.format.value} (stage {stage.name!r})",
        "leave --backend out, or use one that can",
    ),
    Rule(
        "openvino-cpu",
        lambda c: c.backend == "openvino" and c.settings.device == "gpu",
        "Triton's openvino backend runs on the CPU only (stage {stage.name!r})",
        "use --device cpu, or for ONNX --backend onnxruntime",
    ),
    Rule(
        "plan-gpu",
        lambda c: c.stage.format is Format.TENSORRT and c.settings.device != "gpu",
        "a TensorRT plan runs on the GPU only (stage {stage.name!r})",
        "use --device gpu",
    ),
    Rule(
        "preferred-batch",
        lambda c: any(not 1 <= size <= c.settings.max_batch_size for size in c.settings.preferred_batch_sizes),
        "preferred batch sizes {s.preferred_batch_sizes} must lie between 1 and the maximum, {s.max_batch_size}",
        "lower them or raise --max-batch-size",
    ),
    Rule(
        "queue-delay",
        lambda c: c.settings.queue_delay_us < 0,
        "the queue delay is {s.queue_delay_us} µs, and cannot be negative",
        "use 0 or more",
    ),
    Rule(
        "version-policy",
        lambda c: _bad_version_policy(c.settings.version_policy),
        "the version policy {s.version_policy!r} is none that Triton knows",
        "use latest:N, all or specific:1,3",
    ),
    Rule(
        "rate-limiter",
        lambda c: c.settings.priority < 0 or any(count < 0 for count in c.settings.rate_limiter.values()),
        "the rate limiter's counts and priority cannot be negative",
        "use 0 or more",
    ),
    Rule(
        "code-parameters",
        lambda c: any(name.upper() in CODE_PARAMETERS for name in c.settings.parameters) and c.stage.config is None,
        "the parameters {s.parameters} would make the server load code",
        "leave them out; an adopted model folder that needs them is imported with --allow-code",
    ),
    Rule(
        "cuda-graphs-gpu",
        lambda c: c.settings.cuda_graphs and c.settings.device != "gpu",
        "CUDA graphs exist on the GPU only",
        "use --device gpu",
    ),
)


def cases(package: Package, settings: Settings, axes: Mapping[str, BatchAxis], target: Target) -> Iterator[Case]:
    """One case for each stage."""
    for stage in package.stages:
        yield Case(package, stage, settings.for_stage(stage.name), axes[stage.name], target)


def broken(
    package: Package, settings: Settings, axes: Mapping[str, BatchAxis], target: Target
) -> Iterator[tuple[Rule, Case]]:
    """Every rule that is broken, with the case that breaks it."""
    for case in cases(package, settings, axes, target):
        for rule in RULES:
            if rule.broken(case):
                yield rule, case


def require(package: Package, settings: Settings, axes: Mapping[str, BatchAxis], target: Target) -> None:
    """Raise RuleError with the sentence of the first rule that is broken."""
    for stage in set(settings.stages) - {stage.name for stage in package.stages}:
        raise RuleError(f"there is no stage {stage!r}", where=package.name, do="`tritonpm show` lists the stages")
    for rule, case in broken(package, settings, axes, target):
        raise RuleError(rule.explain(case), where=package.name, do=rule.do)
