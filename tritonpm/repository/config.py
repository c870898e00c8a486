"""Triton's ModelConfig of one stage: what its signature, its settings and the target ask for.

Source: Triton's model configuration document; what native backends refuse or run slowly is in docs/generated-config.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tritonpm.core.errors import RenderError
from tritonpm.core.types import (
    BACKENDS,
    BatchAxis,
    Format,
    Optimised,
    Package,
    Shape,
    Signature,
    Stage,
    Target,
    Task,
    Tensor,
    config_dtype,
    dims,
)
from tritonpm.core.units import GIB, number_of
from tritonpm.package.config import refusals
from tritonpm.repository.warm_up import warm_up
from tritonpm.settings.backend import max_batch_size, single_rows
from tritonpm.settings.settings import Settings

LABELS = "labels.txt"  # in the model folder, one label a line
_MOST_DEFAULT_INSTANCES = 8

# The file that a backend looks for in a version folder, and the name of its thread-count parameter.
DEFAULT_FILES = {
    "onnxruntime": "model.onnx",
    "openvino": "model.xml",
    "tensorrt": "model.plan",
    "pytorch": "model.pt",
    "python": "model.py",
}
_THREADS = {"onnxruntime": "intra_op_thread_count", "openvino": "INFERENCE_NUM_THREADS"}


def messages() -> Any:
    """Triton's ModelConfig messages, as tritonclient carries them."""
    from tritonclient.grpc import model_config_pb2

    return model_config_pb2


@dataclass(frozen=True)
class Member:
    """A stage's model to be: its configuration, and what was decided for the user."""

    config: Any
    file: str  # the model file's name in the version folder
    notes: tuple[str, ...] = field(default=())


def served_by(stage: Stage, settings: Settings) -> str:
    """The backend of a stage whose model is the one that is served, optimised or not."""
    return BACKENDS[stage.format][0] if stage.crop is not None else settings.backend or BACKENDS[stage.format][0]


def member(
    package: Package,
    stage: Stage,
    settings: Settings,
    target: Target,
    axis: BatchAxis,
    optimised: Optimised | None = None,
) -> Member:
    """The configuration of one stage, without its name. Raises RenderError where Triton has no way to say it."""
    backend = served_by(stage, settings)
    notes: list[str] = []
    signature = axis.signature or stage.signature
    config = messages().ModelConfig(backend=backend)
    if backend == "pytorch":
        config.platform = "pytorch_libtorch"
    if axis.lowered and not (optimised and optimised.files):
        notes.append(f"stage {stage.name}: {axis.lowered}")
    batch = _batch(stage, settings, axis, backend, notes)
    config.max_batch_size = batch
    for tensors, add in ((signature.inputs, config.input.add), (signature.outputs, config.output.add)):
        for tensor in tensors:
            _describe(add(), tensor, batch > 0, f"{package.name}, stage {stage.name}")
    if single_rows(signature, axis) and backend != "openvino":
        _keep_rows(config)
    _labels(config, stage, axis)
    _groups(config, stage, settings, target, backend, package, notes)
    _batching(config, settings)
    _policies(config, settings)
    _runtime(config, settings, backend)
    if optimised and not optimised.files:
        _accelerate(config, settings, optimised.optimizer.removeprefix("ort-"), optimised.accelerator)
    if settings.warmup:
        warm_up(config, settings, signature.inputs, axis, notes)
    if backend == "python":  # nothing else of what is rendered here is a program
        notes.append(f"stage {stage.name}: decodes with Pillow, which NVIDIA's container lacks: `pip install pillow`")
    file = _file(config, stage, backend)
    _require_native(config, backend, signature, stage, notes)
    return Member(config, file, tuple(notes))


def _require_native(config: Any, backend: str, signature: Signature, stage: Stage, notes: list[str]) -> None:
    """Raise RenderError for what every server refuses; note what only NVIDIA's container refuses or alters.

    Source: `package/native_rules.py`.
    """
    for _, sentence in refusals(config, backend, signature, embedded=True):
        raise RenderError(f"Triton's {backend} backend refuses it: {sentence}", where=f"stage {stage.name}",
                          do="choose another --backend or other parameters")  # fmt: skip
    text = backend == "openvino" and any(tensor.dtype == "BYTES" for tensor in (*signature.inputs, *signature.outputs))
    server = "the embedded server with TRITONPM_BACKENDS=python" if text else "the embedded server"
    for _, sentence in refusals(config, backend, signature):
        notes.append(f"stage {stage.name}: only {server} takes this; in NVIDIA's container {sentence}")
    if backend == "openvino" and stage.format is Format.ONNX and "HINT_BF16" not in config.parameters:
        notes.append(
            f"stage {stage.name}: on CPUs that compute in bf16 NVIDIA's container answers less exactly than what was "
            "proved; `tritonpm optimize` with --optimizer openvino keeps FP32"
        )


def _batch(stage: Stage, settings: Settings, axis: BatchAxis, backend: str, notes: list[str]) -> int:
    if axis.kind == "none":
        notes.append(f"stage {stage.name} is not batched: {axis.reason}")
    elif single_rows(axis.signature or stage.signature, axis):
        notes.append(
            f"stage {stage.name} has max_batch_size 0 and a batch dimension of its own: an input has one value a row, "
            "and an empty batch of these would end the server"
        )
    elif axis.kind == "declared" and stage.config is None and not settings.dynamic_batching:
        why = f"its batch axis is only declared, {axis.reason}"
        notes.append(f"Triton does not combine requests of stage {stage.name}: {why}")
    elif backend == "openvino":
        notes.append(
            f"stage {stage.name} has max_batch_size 0 and a batch dimension of its own: with more, Triton's openvino "
            "backend refuses every batch that is not full"
        )
    return max_batch_size(stage, settings, axis, backend)


def _describe(entry: Any, tensor: Tensor, batched: bool, where: str) -> None:
    """Fill a ModelInput or ModelOutput. Triton has no empty dims: what a batch has one of each is reshaped to [batch].

    Without batching it refuses an empty reshape: there its backends take one element for the model's scalar.
    """
    if tensor.shape is None:
        raise RenderError(
            f"tensor {tensor.name!r} has no rank, which Triton must be told", where=where, do="export it with a shape"
        )
    if 0 in tensor.shape:
        raise RenderError(
            f"tensor {tensor.name!r} has a dimension of size 0, which Triton cannot say",
            where=where,
            do="export it again",
        )
    entry.name, entry.data_type = tensor.name, messages().DataType.Value(config_dtype(tensor.dtype))
    sizes = dims(tensor.shape[1:] if batched else tensor.shape)
    entry.dims.extend(sizes or (1,))
    if not sizes and batched:
        entry.reshape.SetInParent()
    if tensor.optional:
        entry.optional = True


def _keep_rows(config: Any) -> None:
    """One value a row stays [rows, 1] for clients, as Triton has it where it batches."""
    for entry in (*config.input, *config.output):
        if list(entry.dims) == [-1]:
            entry.dims.append(1)
            entry.reshape.shape.append(-1)


def _labels(config: Any, stage: Stage, axis: BatchAxis) -> None:
    """Name the label file on the output that it belongs to: the one whose last dimension counts the labels."""
    count = len(stage.signature.labels)
    if not stage.labels or stage.task is not Task.IMAGE_CLASSIFICATION:
        return
    fitting = [output for output in config.output if output.dims and output.dims[-1] in (count, -1)]
    if fitting or len(config.output) == 1:
        (fitting or config.output)[0].label_filename = LABELS


def instances(settings: Settings, target: Target, package: Package) -> int:
    """How many: 1 in shared mode, else what was chosen, else one for each core or what fits half of the GPU's memory.

    Of the memory that the GPU has, not of what is free right now: a digest must not hang on the moment.
    """
    if settings.mode == "shared":
        return 1
    if settings.instances:
        return settings.instances
    if settings.on_gpu:
        size = 4 * sum(file.size for file in package.files) + GIB
        total = min((gpu.memory_total for gpu in _used_gpus(settings, target)), default=4 * size)
        return max(1, min(_MOST_DEFAULT_INSTANCES, total // 2 // size))
    return max(1, min(_MOST_DEFAULT_INSTANCES, target.cores))


def _used_gpus(settings: Settings, target: Target) -> list[Any]:
    return [gpu for gpu in target.gpus if not settings.gpus or gpu.index in settings.gpus]


def _groups(
    config: Any, stage: Stage, settings: Settings, target: Target, backend: str, package: Package, notes: list[str]
) -> None:
    groups = messages().ModelInstanceGroup
    count = instances(settings, target, package)
    if settings.on_gpu:
        listed = settings.gpus or tuple(gpu.index for gpu in target.gpus)
        lists: Iterable[tuple[int, ...]] = [(gpu,) for gpu in listed] if settings.group_per_gpu else [settings.gpus]
        for gpus in lists:
            config.instance_group.append(groups(count=count, kind=groups.KIND_GPU, gpus=gpus))
    else:
        config.instance_group.append(groups(count=count, kind=groups.KIND_CPU))
        threads = _THREADS.get(backend)
        if (
            settings.mode == "performance"
            and threads
            and threads not in settings.parameters
            and settings.threads is None
        ):
            share = max(1, target.cores // count)
            config.parameters[threads].string_value = str(share)
            each = number_of(share, "thread")
            notes.append(f"stage {stage.name}: {count} instances share {target.cores} cores, {each} each")
    for group in config.instance_group:
        for resource, needed in sorted(settings.rate_limiter.items()):
            group.rate_limiter.resources.add(name=resource, count=needed)
        if settings.priority:
            group.rate_limiter.priority = settings.priority


def _batching(config: Any, settings: Settings) -> None:
    if config.max_batch_size > 1 and settings.dynamic_batching:
        config.dynamic_batching.SetInParent()
        config.dynamic_batching.preferred_batch_size.extend(settings.preferred_batch_sizes)
        config.dynamic_batching.max_queue_delay_microseconds = settings.queue_delay_us


def _policies(config: Any, settings: Settings) -> None:
    kind, _, rest = settings.version_policy.partition(":")
    if kind == "all":
        config.version_policy.all.SetInParent()
    elif kind == "specific":
        config.version_policy.specific.versions.extend(int(number) for number in rest.split(","))
    elif rest != "1":
        config.version_policy.latest.num_versions = int(rest)
    if settings.response_cache:
        config.response_cache.enable = True
    if settings.cuda_graphs:
        config.optimization.cuda.graphs = True
    for accelerator in settings.accelerators:
        _accelerate(config, settings, accelerator, {})
    for key, value in sorted(settings.parameters.items()):
        config.parameters[key].string_value = value


def _accelerate(config: Any, settings: Settings, name: str, parameters: Mapping[str, str]) -> None:
    """One of ONNX Runtime's execution accelerators, with its parameters."""
    listed = config.optimization.execution_accelerators
    entry = (listed.gpu_execution_accelerator if settings.on_gpu else listed.cpu_execution_accelerator).add(name=name)
    for key, value in sorted(parameters.items()):
        entry.parameters[key] = value


def _runtime(config: Any, settings: Settings, backend: str) -> None:
    """What OpenVINO is told; a parameter that was given by its own name comes first."""
    if settings.threads is not None and backend in _THREADS:
        config.parameters[_THREADS[backend]].string_value = str(settings.threads)
    if backend != "openvino":
        return
    parameters = {
        "TARGET_DEVICE": settings.openvino_device,
        "NUM_STREAMS": settings.streams,
        "PERFORMANCE_HINT": settings.performance_hint,
        "HINT_BF16": "yes" if settings.bf16 else "",
    }
    for key, value in parameters.items():
        if value and key not in settings.parameters:
            config.parameters[key].string_value = value
    if settings.openvino_device not in ("", "CPU"):  # the native backend takes another device with KIND_AUTO only
        for group in config.instance_group:
            group.kind = messages().ModelInstanceGroup.KIND_AUTO


def _file(config: Any, stage: Stage, backend: str) -> str:
    """The model file's name in the version folder: the backend's default, unless the format has another ending."""
    default = DEFAULT_FILES.get(backend, stage.model.rsplit("/", 1)[-1])
    ending = "." + stage.model.rsplit(".", 1)[-1]
    if stage.format is Format.TORCH_EXPORT or not default.endswith(ending):
        ending = {Format.ONNX: ".onnx", Format.OPENVINO: ".xml", Format.TENSORRT: ".plan"}.get(stage.format, ending)
    file = default if default.endswith(ending) else f"model{ending}"
    if file != default and not (backend == "pytorch" and ending == ".pt"):
        config.default_model_filename = file
    return file


def compatible(one: Shape | None, other: Shape | None) -> bool:
    """Whether a tensor of one shape may be handed to a tensor of the other: -1 fits everything."""
    if one is None or other is None:
        return True
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(dims(one), dims(other), strict=True))
