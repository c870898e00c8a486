"""What loads, and yet is a trap on the container's native backends, or runs code: warnings, not errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from tritonpm.core.errors import TritonpmError
from tritonpm.package.members import is_ours
from tritonpm.package.needs import locale_sentence, locales
from tritonpm.repository.config import messages
from tritonpm.repository.lint.contents import READABLE
from tritonpm.repository.lint.folder import ModelFolder, Problem
from tritonpm.repository.lint.model import backend_of, model_files


def _elsewhere(model: ModelFolder) -> Iterator[tuple[str, Problem]]:
    """What the native backends serve and the embedded server's refuse (docs/backends.md); what Triton passes over."""
    config = model.config
    if backend_of(model) in READABLE:
        for field, given in (
            ("sequence_batching.state", config.sequence_batching.state),
            ("batch_input", config.batch_input),
            ("batch_output", config.batch_output),
            ("model_operations", config.model_operations.op_library_filename),
        ):
            if given:
                yield "native-only", (field, f"the embedded server's own backends do not know {field}")
    for number, output in enumerate(config.output):
        place = model.path / output.label_filename
        if output.label_filename and not place.resolve().is_relative_to(model.path.resolve()):
            yield (
                "labels",
                (f"output[{number}].label_filename", f"{output.label_filename!r} is outside the model folder"),
            )
    inputs = {tensor.name for tensor in config.input}
    for number, sample in enumerate(config.model_warmup):
        for name in sorted(set(sample.inputs) - inputs if inputs else ()):
            yield "warm-up", (f"model_warmup[{number}].inputs", f"the model has no input {name!r}")


def problems(model: ModelFolder) -> Iterator[tuple[str, Problem]]:
    """(rule, (field path, sentence)) of what works here and hurts there."""
    yield from _elsewhere(model)
    config = model.config
    backend = backend_of(model)
    padded = (
        config.parameters["ENABLE_BATCH_PADDING"].string_value if "ENABLE_BATCH_PADDING" in config.parameters else ""
    )
    if backend == "openvino" and config.max_batch_size > 0 and padded != "YES":
        sentence = (
            "the native openvino backend refuses every batch that is not full; use max_batch_size 0 and a dim of -1"
        )
        yield "openvino-batch", ("max_batch_size", sentence)
    for number, tensor in enumerate(config.input):
        if config.max_batch_size > 0 and tensor.HasField("reshape") and not tensor.reshape.shape:
            sentence = f"an empty batch of {tensor.name!r}, which any client may send, ends every tritonserver"
            yield "empty-reshape", (f"input[{number}].reshape", f"{sentence}; give it a dimension of 1")
    kinds = messages().ModelInstanceGroup
    for number, group in enumerate(config.instance_group):
        if group.kind == kinds.KIND_GPU or (group.kind == kinds.KIND_AUTO and group.gpus):
            asked = "KIND_GPU" if group.kind == kinds.KIND_GPU else "KIND_AUTO with gpus"
            yield "needs-gpu", (f"instance_group[{number}]", f"a server without these GPUs refuses {asked}")
        if group.count < 0:
            yield "negative-count", (f"instance_group[{number}]", f"count is {group.count}, which Triton takes as 1")
    for kind, tensors in (("input", config.input), ("output", config.output)):
        names = [tensor.name for tensor in tensors]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield "tensor-twice", (f"{kind}[{names.index(name)}]", f"the {kind} {name!r} stands twice")
    for field, value in (
        ("runtime", config.runtime),
        ("op_library_filename", config.model_operations.op_library_filename),
        ("model_repository_agents", config.model_repository_agents.agents),
    ):
        if value:
            yield "code", (field, f"{field} makes Triton run code of the model")
    for place, path in model_files(model) if backend == "onnxruntime" else ():
        with suppress(TritonpmError, OSError):  # what cannot be read is another rule's
            for locale in locales(path):
                yield "machine-locale", ("", locale_sentence(f"the model file {place}", locale))
    if "EXECUTION_ENV_PATH" in config.parameters:
        yield "code", ("parameters", "EXECUTION_ENV_PATH makes Triton run another Python")
    for file in sorted((*model.path.rglob("*.so"), *model.path.glob("*/model.py"))):
        inside = file.relative_to(model.path)
        if is_ours(file):
            yield "needs-pillow", ("", f"{inside} is tritonpm's own: it needs Pillow, which NVIDIA's container lacks")
        else:
            yield "code", ("", f"{inside} is code that Triton runs on load")
