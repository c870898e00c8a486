"""The rules, one row each: the CLI's error, the page's tooltip and docs/rules.md come from the same row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tritonpm.core.errors import RuleError, UsageError
from tritonpm.core.parameters import names_a_file
from tritonpm.core.types import BACKENDS, BatchAxis, Format, Optimised, Package, Target, Task
from tritonpm.settings.backend import MADE
from tritonpm.settings.changes import defaults
from tritonpm.settings.effect_rules import EFFECT_RULES
from tritonpm.settings.exporter_rules import EXPORTER_RULES
from tritonpm.settings.meaning_rules import MEANING_RULES
from tritonpm.settings.rule import Case, Rule
from tritonpm.settings.settings import OPTIMIZERS, TENSORS, Settings
from tritonpm.settings.shapes import HOW, shape_ranges
from tritonpm.settings.values import VALUE_RULES

_SIDE_BY_SIDE = 256  # threads of a package that any machine may be asked for: it may prepare what a larger one serves


def _wrong_backend(case: Case) -> bool:
    known = BACKENDS.get(case.stage.format)
    return case.settings.backend is not None and known is not None and case.settings.backend not in known


def _wrong_optimizer(case: Case) -> bool:
    optimizer, backend = case.settings.optimizer, case.settings.backend
    if backend is None or _wrong_backend(case):  # the latter has a sentence of its own
        return False
    if optimizer.startswith("ort-"):
        return backend != "onnxruntime"
    return optimizer in MADE and backend not in BACKENDS[MADE[optimizer]]


def _takes(case: Case) -> bool:
    return case.stage.format is Format.ONNX or (
        case.stage.format is Format.OPENVINO and case.settings.optimizer == "openvino"
    )


def _compiled(case: Case) -> bool:
    """An engine as it came is what `gpu-optimised` means, and there is nothing left to do."""
    asks = case.settings.precision != "FP32" or case.settings.optimizer not in ("none", "auto")
    return case.stage.format is Format.TENSORRT and not asks


def _bad_shapes(case: Case) -> bool:
    try:
        ranges = shape_ranges(case.settings.shapes)
    except UsageError:
        return True
    return not ranges.keys() <= {tensor.name for tensor in case.stage.signature.inputs}


def _most_threads(case: Case) -> int:
    return max(_SIDE_BY_SIDE, 4 * case.target.cores)


RULES: tuple[Rule, ...] = (
    *(value.rule for value in VALUE_RULES),
    Rule(
        "gpu-precision",
        lambda c: c.settings.device == "gpu" and c.settings.precision != "FP32",
        "{s.precision} on the GPU needs a model that is compiled for it, and device gpu is the model as it came",
        "use --device gpu-optimised",
        gives_way=("precision",),
    ),
    Rule(
        "optimizer-of-device",
        lambda c: OPTIMIZERS.get(c.settings.optimizer, c.settings.device) != c.settings.device,
        "the optimizer {s.optimizer} does not work for device {s.device} (stage {stage.name!r})",
        "leave --optimizer at auto, or change --device",
        gives_way=("optimizer",),
    ),
    Rule(
        "optimizer-of-format",
        lambda c: c.settings.optimizer in OPTIMIZERS and not _takes(c),
        "the optimizer {s.optimizer} cannot take {stage.format.value} (stage {stage.name!r})",
        "leave --optimizer at auto, or provide the ONNX model",
    ),
    Rule(
        "optimised-formats",
        lambda c: c.settings.optimised and c.stage.format not in (Format.ONNX, Format.OPENVINO) and not _compiled(c),
        "stage {stage.name!r} is {stage.format.value} as it came, which is not optimised any further",
        "use --optimizer none and --precision fp32, or provide the ONNX model",
    ),
    Rule(
        "optimizer-of-backend",
        _wrong_optimizer,
        "the {s.backend} backend cannot serve what the optimizer {s.optimizer} makes (stage {stage.name!r})",
        "leave --backend out, or leave --optimizer at auto",
        gives_way=("backend", "optimizer"),
    ),
    Rule(
        "accelerator-precision",
        lambda c: c.settings.optimizer == "ort-openvino" and c.settings.precision != "FP32",
        "ONNX Runtime's OpenVINO accelerator is used at FP32 only, not {s.precision}",
        "use --optimizer openvino",
        gives_way=("precision", "optimizer"),
    ),
    Rule(
        "shapes",
        _bad_shapes,
        "the range of shapes {s.shapes} is not LEAST:BEST:MOST of one rank, or names no input of stage {stage.name!r}",
        HOW,
    ),
    Rule(
        "batch-size-of-a-folder",
        lambda c: c.stage.config is not None and c.settings.max_batch_size == 0,
        "a batch size of 0 leaves the batch to the model, and stage {stage.name!r} has a config of its own",
        "write max_batch_size and dims into its config.pbtxt",
    ),
    Rule(
        "batch-size-proved",
        lambda c: bool(c.axis.wrong) and c.settings.max_batch_size >= c.axis.wrong,
        "stage {stage.name!r} can be batched up to {axis.largest}, not {s.max_batch_size}: {axis.beyond}",
        "choose a smaller --max-batch-size",
        gives_way=("max_batch_size",),
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
        gives_way=("instances",),
    ),
    Rule(
        "threads-of-machine",
        lambda c: (c.settings.instances or 1) * (c.settings.threads or 0) > _most_threads(c),
        "{s.threads} threads for each instance are far more than the {case.target.cores} cores of this machine run",
        "choose fewer --threads or --instances",
    ),
    Rule(
        "gpus-need-gpu",
        lambda c: not c.settings.on_gpu and bool(c.settings.gpus or c.settings.group_per_gpu),
        "GPUs are listed but the device is {s.device}",
        "use --device gpu, or leave the GPUs out",
        gives_way=("gpus", "group_per_gpu"),
    ),
    Rule(
        "backend-of-format",
        _wrong_backend,
        "the {s.backend} backend cannot serve {stage.format.value} (stage {stage.name!r})",
        "leave --backend out, or use one that can",
    ),
    Rule(
        "openvino-cpu",
        lambda c: c.backend == "openvino" and c.settings.on_gpu,
        "Triton's openvino backend runs on the CPU only (stage {stage.name!r})",
        "use --device cpu, or for ONNX --backend onnxruntime",
        gives_way=("backend",),
    ),
    Rule(
        "plan-gpu",
        lambda c: c.stage.format is Format.TENSORRT and not c.settings.on_gpu,
        "a TensorRT plan runs on the GPU only (stage {stage.name!r})",
        "use --device gpu",
    ),
    Rule(
        "preferred-batch",
        lambda c: any(not 1 <= size <= c.settings.max_batch_size for size in c.settings.preferred_batch_sizes),
        "preferred batch sizes {s.preferred_batch_sizes} must lie between 1 and the maximum, {s.max_batch_size}",
        "lower them or raise --max-batch-size",
        gives_way=("preferred_batch_sizes",),
    ),
    Rule(
        "kept-versions-of-one",
        lambda c: (
            c.settings.kept_versions > 1
            and (c.package.cascade or c.stage.config is not None or c.settings.serve != TENSORS)
        ),
        "version folders are for a package of one model that tritonpm makes the config of: an ensemble has no versions",
        "keep the old content as a package of its own name (`tritonpm import --name`)",
    ),
    Rule(
        "code-parameters",
        lambda c: c.stage.config is None and any(names_a_file(*entry) for entry in c.settings.parameters.items()),
        "the parameters {s.parameters} would make the server load code",
        "leave them out; an adopted model folder that needs them is imported with --allow-code",
    ),
    Rule(
        "cuda-graphs-gpu",
        lambda c: c.settings.cuda_graphs and not c.settings.on_gpu,
        "CUDA graphs exist on the GPU only",
        "use --device gpu",
        gives_way=("cuda_graphs",),
    ),
    *MEANING_RULES,
    *EFFECT_RULES,
    *EXPORTER_RULES,
)


def began(package: Package, axes: Mapping[str, BatchAxis]) -> tuple[Settings, ...]:
    """What a package may have started with: it may have come in on another machine."""
    return tuple(defaults(package, axes, device) for device in ("cpu", "gpu"))


def cases(
    package: Package, settings: Settings, axes: Mapping[str, BatchAxis], target: Target,
    first: tuple[Settings, ...] | None = None, made: Mapping[str, Optimised] | None = None,
) -> Iterator[Case]:  # fmt: skip
    """One case for each stage; who asks often tells what the package `began` with; `made` is what was optimised."""
    first = began(package, axes) if first is None else first
    for stage in package.stages:
        name = stage.name
        then = tuple(_of(start, name) for start in first)
        yield Case(package, stage, _of(settings, name), axes[name], target, then, (made or {}).get(name))


def _of(settings: Settings, stage: str) -> Settings:
    return settings.for_stage(stage) if settings.stages else settings  # without a copy for each case of a long list


def broken(
    package: Package, settings: Settings, axes: Mapping[str, BatchAxis], target: Target,
    first: tuple[Settings, ...] | None = None, made: Mapping[str, Optimised] | None = None,
) -> Iterator[tuple[Rule, Case]]:  # fmt: skip
    """Every rule that is broken, with the case that breaks it; `first` and `made` as of `cases`."""
    for case in cases(package, settings, axes, target, first, made):
        for rule in RULES:
            if rule.broken(case):
                yield rule, case


def require_stages(package: Package, names: Iterable[str]) -> None:
    """Raise RuleError for the first name that is no stage of the package."""
    for stage in sorted(set(names) - {stage.name for stage in package.stages}):
        raise RuleError(f"there is no stage {stage!r}", where=package.name, do="`tritonpm show` lists the stages")


def require(package: Package, settings: Settings, axes: Mapping[str, BatchAxis], target: Target) -> None:
    """Raise RuleError with the sentence of the first rule that is broken."""
    require_stages(package, settings.stages)
    for rule, case in broken(package, settings, axes, target):
        if rule.level == "error":
            raise RuleError(rule.explain(case), where=package.name, do=rule.do)


def warnings(
    package: Package, settings: Settings, axes: Mapping[str, BatchAxis], target: Target,
    made: Mapping[str, Optimised] | None = None,
) -> list[str]:  # fmt: skip
    """What the rules only warn of, with what to do; `made` as of `cases`."""
    pairs = broken(package, settings, axes, target, None, made)
    return [f"{rule.explain(case)}; {rule.do}" for rule, case in pairs if rule.level == "warning"]
