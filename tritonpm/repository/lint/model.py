"""What Triton refuses in one model's config: each rule a small function with its sentences.

Source: Triton's model configuration document, and what a real tritonserver 2.51 answered (docs/lint.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

from tritonpm.package import config as configs
from tritonpm.repository.config import DEFAULT_FILES, messages
from tritonpm.repository.lint import batching
from tritonpm.repository.lint.folder import ModelFolder, Problem

Check = Callable[[ModelFolder], Iterator[Problem]]

_AGENTS = ("checksum",)
_BITS = re.compile(r"\d+$|(?<=BOOL)$")  # of a value, in its type's name
_ACCELERATORS = {"cpu": ("openvino",), "gpu": ("tensorrt", "cuda")}  # of ONNX Runtime
_LABEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9_]*)?")  # as measured: none is taken, and none begins with _
_MOST_INSTANCES = 10_000  # Triton starts a thread for each, until the machine has none left
BACKENDS = (
    "onnxruntime", "openvino", "tensorrt", "pytorch", "tensorflow", "python", "dali", "fil", "vllm", "tensorrtllm",
    "identity", "repeat", "square",
)  # fmt: skip


# The backends whose platforms Triton itself knows, TensorFlow's without a default; any other takes every platform.
# torch_aoti is newer than 2.51, whose PyTorch reads no such file in any case.
_DEFAULT_PLATFORMS = {"tensorrt": {""}, "onnxruntime": {""}, "pytorch": {"", "torch_aoti"}, "tensorflow": set[str]()}
_PLATFORMS_OF = {
    backend: {name for name, of in configs.PLATFORMS.items() if of == backend} | default
    for backend, default in _DEFAULT_PLATFORMS.items()
}


def backend_of(model: ModelFolder) -> str:
    """The backend that Triton takes, from the model file where the config names none."""
    return configs.backend_of(model.config) or _backend_of_file(model)


def _name(model: ModelFolder) -> Iterator[Problem]:
    if model.config.name not in ("", model.name):
        yield "name", f"it names the model {model.config.name!r}, but the folder is {model.name!r}"


def _backend(model: ModelFolder) -> Iterator[Problem]:
    config = model.config
    if config.backend and config.backend not in BACKENDS and not _own_library(model):
        yield "backend", f"no backend {config.backend!r} comes with Triton; it brings {', '.join(BACKENDS)}"


def _platform(model: ModelFolder) -> Iterator[Problem]:
    config = model.config
    if config.platform and config.platform not in (*configs.PLATFORMS, "ensemble") and not config.backend:
        yield "platform", f"the platform {config.platform!r} is not one that Triton knows"
    elif config.platform not in _PLATFORMS_OF.get(config.backend, {config.platform}):
        yield "platform", f"the platform {config.platform!r} does not belong to the backend {config.backend!r}"
    elif not config.platform and not config.backend and not _backend_of_file(model):
        yield "", "neither backend nor platform is given, and no model file says which it is"


def _own_library(model: ModelFolder) -> bool:
    return any(model.path.rglob(f"libtriton_{model.config.backend}.so"))


def _backend_of_file(model: ModelFolder) -> str:
    """The backend that a model file of the default name, or of the ending that the config names, is for."""
    named = model.config.default_model_filename
    for backend, default in DEFAULT_FILES.items():
        name = named if named.endswith(default.removeprefix("model")) else "" if named else default
        if name and any((model.path / str(version) / name).exists() for version in model.versions):
            return backend
    return ""


def _versions(model: ModelFolder) -> Iterator[Problem]:
    policy = model.config.version_policy
    if not model.versions:
        yield "", "there is no version folder (1, 2, …)"
    elif policy.HasField("specific") and not set(policy.specific.versions) & set(model.versions):
        listed = ", ".join(map(str, policy.specific.versions)) or "none"
        yield "version_policy", f"it serves the versions {listed}, none of which is there"
    if policy.HasField("latest") and policy.latest.num_versions == 0:
        yield "version_policy.latest", "num_versions is 0, so nothing is served"


def model_files(model: ModelFolder) -> Iterator[tuple[str, Path]]:
    """(version/name, path) of the model file of each served version, be it there or not."""
    backend = backend_of(model)
    default = DEFAULT_FILES.get(backend, "")
    name = model.config.default_model_filename or default
    for version in configs.served_versions(model.config, model.versions) if default else ():
        path = model.path / str(version) / name
        if backend == "onnxruntime" and path.is_dir():  # with the model and its external data
            path = path / default
        yield f"{version}/{name}", path


def _files(model: ModelFolder) -> Iterator[Problem]:
    for place, path in model_files(model):
        if not path.exists():
            yield "default_model_filename", f"the model file {place} is missing"


def _labels(model: ModelFolder) -> Iterator[Problem]:
    for number, output in enumerate(model.config.output):
        if not output.label_filename:
            continue
        if not (model.path / output.label_filename).is_file():
            yield f"output[{number}].label_filename", f"the label file {output.label_filename!r} is missing"


def _tensors(model: ModelFolder) -> Iterator[Problem]:
    for kind, tensors in (("input", model.config.input), ("output", model.config.output)):
        for number, tensor in enumerate(tensors):
            for problem in _tensor(tensor, kind):
                yield f"{kind}[{number}]", problem
            if tensor.HasField("reshape") and not tensor.reshape.shape and model.config.max_batch_size == 0:
                yield f"{kind}[{number}].reshape", f"the empty reshape of the {kind} {tensor.name!r} needs batching"
            if backend_of(model) == "tensorrt":
                continue
            if tensor.is_shape_tensor:
                yield f"{kind}[{number}].is_shape_tensor", "only TensorRT has shape tensors"
            if tensor.is_non_linear_format_io:
                yield f"{kind}[{number}].is_non_linear_format_io", "only TensorRT has formats that are not linear"


def _tensor(tensor: Any, kind: str) -> Iterator[str]:
    subject = f"the {kind} {tensor.name!r}"
    if not tensor.name:
        yield f"an {kind} has no name"
    if tensor.data_type == 0:
        yield f"{subject} has no data_type"
    if not tensor.dims:
        yield f"{subject} has no dims"
    for size in tensor.dims:
        if size < 1 and size != -1:
            yield f"{subject} has the dimension {size}: it must be 1 or more, or -1"
    if tensor.HasField("reshape"):
        yield from _reshape(tensor, subject)


def _reshape(tensor: Any, subject: str) -> Iterator[str]:
    sizes = [list(tensor.dims), list(tensor.reshape.shape)]
    if any(size < 1 and size != -1 for size in sizes[1]):
        yield f"{subject} has a reshape dimension that is neither 1 or more nor -1"
    elif [s.count(-1) for s in sizes].count(0) != 2 and sizes[0].count(-1) != sizes[1].count(-1):
        yield f"{subject} has {sizes[0].count(-1)} variable dimensions, but {sizes[1].count(-1)} after its reshape"
    elif _segments(sizes[0]) != _segments(sizes[1]):
        yield f"{subject} has another number of elements after its reshape"


def _segments(sizes: list[int]) -> list[int]:
    """The products of the fixed dimensions between variable ones, which a reshape must keep."""
    products = [1]
    for size in sizes:
        if size == -1:
            products.append(1)
        else:
            products[-1] *= size
    return products


def _formats(model: ModelFolder) -> Iterator[Problem]:
    for number, tensor in enumerate(model.config.input):
        batched = model.config.max_batch_size > 0
        if tensor.format in (1, 2) and len(tensor.dims) != 3:  # FORMAT_NHWC, FORMAT_NCHW
            dimensions = "3 dims" if batched else "3 dims (the batch dimension not counted)"
            yield f"input[{number}].format", f"the input {tensor.name!r} has an image format, which needs {dimensions}"


def _groups(model: ModelFolder) -> Iterator[Problem]:
    kinds = messages().ModelInstanceGroup
    of_devices: dict[str, bool] = {}
    for number, group in enumerate(model.config.instance_group):
        place = f"instance_group[{number}]"
        if group.kind not in kinds.Kind.values():
            yield f"{place}.kind", f"the kind {group.kind} means nothing"
        if group.count > _MOST_INSTANCES:
            yield f"{place}.count", f"{group.count} instances are more threads than a machine has for everything else"
        if group.profile and backend_of(model) != "tensorrt":
            yield f"{place}.profile", "only TensorRT has profiles"
        if group.kind in (kinds.KIND_CPU, kinds.KIND_MODEL) and group.gpus:
            yield f"{place}.gpus", f"gpus are listed, but the kind is {kinds.Kind.Name(group.kind)}"
        for resource in group.rate_limiter.resources:
            everywhere = getattr(resource, "global")
            if of_devices.setdefault(resource.name, everywhere) != everywhere:
                sentence = f"the resource {resource.name!r} is global in one place and each device's own in another"
                yield f"{place}.rate_limiter", sentence


def _warm_ups(model: ModelFolder) -> Iterator[Problem]:
    config = model.config
    inputs = {tensor.name: tensor for tensor in config.input}
    nobody = bool(config.instance_group) and all(group.passive for group in config.instance_group)
    for number, sample in enumerate(config.model_warmup):
        place = f"model_warmup[{number}]"
        if not sample.batch_size:
            continue  # Triton passes over it
        if sample.batch_size > max(1, config.max_batch_size):
            yield f"{place}.batch_size", f"its batch size {sample.batch_size} is more than max_batch_size"
        if nobody:
            continue  # passive instances are not warmed up
        for name, value in sorted(sample.inputs.items()):
            if name in inputs and value.data_type != inputs[name].data_type:
                yield f"{place}.inputs", f"the data of {name!r} has another data_type than the input"
            if name in inputs and not _takes(inputs[name].dims, value.dims):
                shapes = f"{list(value.dims)}, and the input {list(inputs[name].dims)}"
                yield f"{place}.inputs", f"the data of {name!r} has the dims {shapes}"
            data = value.WhichOneof("input_data_type")
            if not data:
                yield f"{place}.inputs", f"the input {name!r} has no data (zero_data, random_data or input_data_file)"
            if data == "input_data_file":
                for sentence in _data_file(model, value):
                    yield f"{place}.inputs", sentence
        for name in sorted(set(inputs) - set(sample.inputs)):
            if not inputs[name].optional:
                yield place, f"the input {name!r} has no data"


def _data_file(model: ModelFolder, value: Any) -> Iterator[str]:
    file = model.path / "warmup" / value.input_data_file
    if not file.is_file():
        yield f"the data file warmup/{value.input_data_file} is missing"
    elif bits := _BITS.search(messages().DataType.Name(value.data_type)):
        needed = prod(value.dims) * max(1, int(bits[0] or 8) // 8)
        if file.stat().st_size < needed:
            yield f"the data file warmup/{value.input_data_file} has less than {needed} bytes"


def _takes(dims: Sequence[int], given: Sequence[int]) -> bool:
    return len(dims) == len(given) and all(size in (-1, own) for size, own in zip(dims, given, strict=True))


def _code(model: ModelFolder) -> Iterator[Problem]:
    if model.config.HasField("model_repository_agents") and not model.config.model_repository_agents.agents:
        yield "model_repository_agents", "model_repository_agents lists no agent, which ends the server"
    parameters = {name: value.string_value for name, value in model.config.parameters.items()}
    library = "" if model.ensemble else parameters.get("TRITON_BATCH_STRATEGY_PATH", "")
    if library and not Path(library).exists():
        yield "parameters", f"the batching library {library} (TRITON_BATCH_STRATEGY_PATH) is not there"
    for number, agent in enumerate(model.config.model_repository_agents.agents):
        if agent.name not in _AGENTS:
            yield f"model_repository_agents.agents[{number}]", f"no repository agent {agent.name!r} comes with Triton"
    runtime = "" if model.ensemble else model.config.runtime
    brought = runtime and any((place / runtime).is_file() for place in (model.path, *model.path.iterdir()))
    if runtime and not brought and runtime != f"libtriton_{backend_of(model)}.so":
        yield "runtime", f"the runtime {runtime!r} is neither the backend's own nor in the model folder"


def _ensemble_scheduling(model: ModelFolder) -> Iterator[Problem]:
    if model.config.HasField("ensemble_scheduling") and not model.ensemble:
        yield "ensemble_scheduling", 'ensemble_scheduling needs the platform "ensemble"'


def _accelerators(model: ModelFolder) -> Iterator[Problem]:
    if backend_of(model) != "onnxruntime":
        return
    groups = model.config.instance_group
    # An instance on the CPU does not look at those for GPUs; without a kind it may lie on a GPU.
    on_cpu = bool(groups) and all(group.kind == messages().ModelInstanceGroup.KIND_CPU for group in groups)
    for device, known in _ACCELERATORS.items():
        if device == "gpu" and on_cpu:
            continue
        for accelerator in getattr(model.config.optimization.execution_accelerators, f"{device}_execution_accelerator"):
            if (name := accelerator.name) not in known:
                there = f"{', '.join(known)} on the {device.upper()}"
                yield "optimization", f"there is no execution accelerator {name!r}; ONNX Runtime has {there}"


def _tags(model: ModelFolder) -> Iterator[Problem]:
    for name in sorted(model.config.metric_tags):
        if not _LABEL.fullmatch(name):
            yield "metric_tags", f"the metric tag {name!r} is not made of letters, digits and _, which ends the server"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("name", _name),
    ("backend", _backend),
    ("platform", _platform),
    ("ensemble-scheduling", _ensemble_scheduling),
    ("versions", _versions),
    ("model-file", _files),
    ("labels", _labels),
    ("batcher", batching.batch_sizes),
    ("tensors", _tensors),
    ("formats", _formats),
    ("instance-group", _groups),
    ("warm-up", _warm_ups),
    ("sequences", batching.sequences),
    ("batch-tensors", batching.batch_tensors),
    ("response-cache", batching.cache),
    ("accelerator", _accelerators),
    ("metric-tags", _tags),
    ("code", _code),
)
