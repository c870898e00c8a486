"""Whether a config says what its model file says: names, types and shapes, as the backends check them on load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tritonpm.core.errors import TritonpmError
from tritonpm.core.types import Signature, Tensor, config_dtype, dims
from tritonpm.repository.config import DEFAULT_FILES, messages
from tritonpm.repository.lint.folder import ModelFolder
from tritonpm.repository.lint.model import Problem, backend_of, served_versions

ReadSignature = Callable[[Path], Signature]
READABLE = ("onnxruntime", "openvino")  # whose files tell their tensors


def problems(model: ModelFolder, read_signature: ReadSignature) -> Iterator[tuple[str, Problem]]:
    """(rule, (field path, sentence)) for every served version whose file can be read."""
    config, backend = model.config, backend_of(model.config)
    if backend not in READABLE:
        return
    name = config.default_model_filename or DEFAULT_FILES[backend]
    for version in served_versions(model):
        place = model.path / str(version) / name
        if not place.is_file():
            continue
        try:
            signature = read_signature(place)
        except TritonpmError as error:
            yield "model-file", ("", f"the model file {version}/{name} cannot be read: {error.what}")
            continue
        for kind, entries, tensors in (
            ("input", config.input, signature.inputs),
            ("output", config.output, signature.outputs),
        ):
            known = {tensor.name: tensor for tensor in tensors}
            for number, entry in enumerate(entries):
                if sentence := _difference(entry, known.get(entry.name), config, known, kind):
                    yield "model-tensors", (f"{kind}[{number}]", sentence)


def _difference(entry: Any, tensor: Tensor | None, config: Any, known: dict[str, Tensor], kind: str) -> str:
    subject = f"the {kind} {entry.name!r}"
    if tensor is None:
        return f"{subject} is not in the model file, which has {', '.join(known)}" if entry.name else ""
    dtype = messages().DataType.Name(entry.data_type)
    if entry.data_type and dtype != config_dtype(tensor.dtype):
        return f"{subject} is {dtype}, but {config_dtype(tensor.dtype)} in the model file"
    if tensor.shape is None or not entry.dims:
        return ""
    own = list(entry.reshape.shape if entry.HasField("reshape") else entry.dims)
    full = [-1, *own] if config.max_batch_size > 0 else own
    file = list(dims(tensor.shape))
    if not file and full == [1]:  # a scalar, which Triton can only call one element
        return ""
    fits = len(full) == len(file) and all(a == b or b == -1 for a, b in zip(full, file, strict=True))
    return "" if fits else f"{subject} has the shape {full}, but {file} in the model file"
