"""Whether a config says what its model file says: names, types and shapes, as the backends check them on load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from tritonpm.core.errors import TritonpmError
from tritonpm.core.types import Signature, config_dtype, dims
from tritonpm.package.config import completed_batch_size, refusals
from tritonpm.repository.lint.folder import ModelFolder, Problem
from tritonpm.repository.lint.model import backend_of, model_files

# The tensors of a model file that a backend is to read, and whether its outputs are those that the runtime infers.
ReadSignature = Callable[[Path, str], tuple[Signature, bool]]
READABLE = ("onnxruntime", "openvino")  # whose files tell their tensors


def problems(model: ModelFolder, read_signature: ReadSignature | None) -> Iterator[tuple[str, Problem]]:
    """(rule, (field path, sentence)) for every served version whose file can be read."""
    config, backend = model.config, backend_of(model)
    if backend not in READABLE:
        return
    if read_signature is None:
        for problem in refusals(config, backend, None):
            yield "parameters", problem
        return
    for place, path in model_files(model):
        if not path.is_file():
            continue
        try:
            signature, inferred = read_signature(path, backend)
        except TritonpmError as error:
            yield "model-file", ("", f"the model file {place} cannot be read: {error.what}")
            continue
        for problem in refusals(config, backend, signature, inferred=inferred):
            yield "model-tensors", problem


def completed(model: ModelFolder, read_signature: ReadSignature | None) -> ModelFolder:
    """The model with what the onnxruntime backend adds to its config: the file's tensors, and max_batch_size."""
    config = model.config
    whole = config is None or (config.input and config.output)
    if whole or read_signature is None or backend_of(model) != "onnxruntime":
        return model
    made = type(config)()
    made.CopyFrom(config)
    for _, path in model_files(model):
        try:
            signature, _ = read_signature(path, "onnxruntime")
        except (TritonpmError, OSError):
            return model
        made.max_batch_size = completed_batch_size(config, signature)
        for entries, tensors in ((made.input, signature.inputs), (made.output, signature.outputs)):
            for tensor in () if len(entries) else tensors:
                sizes = dims(tensor.shape or ())[1 if made.max_batch_size > 0 else 0 :]
                entries.add(name=tensor.name, data_type=config_dtype(tensor.dtype), dims=sizes)
    return replace(model, config=made)
