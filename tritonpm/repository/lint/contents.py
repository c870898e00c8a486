"""Whether a config says what its model file says: names, types and shapes, as the backends check them on load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tritonpm.core.errors import TritonpmError
from tritonpm.core.types import Signature
from tritonpm.package.config import refusals, served_versions
from tritonpm.repository.config import DEFAULT_FILES
from tritonpm.repository.lint.folder import ModelFolder
from tritonpm.repository.lint.model import Problem, backend_of

# The tensors of a model file that a backend is to read, and whether its outputs are those that the runtime infers.
ReadSignature = Callable[[Path, str], tuple[Signature, bool]]
READABLE = ("onnxruntime", "openvino")  # whose files tell their tensors


def problems(model: ModelFolder, read_signature: ReadSignature | None) -> Iterator[tuple[str, Problem]]:
    """(rule, (field path, sentence)) for every served version whose file can be read."""
    config, backend = model.config, backend_of(model)
    if backend not in READABLE:
        return
    name = config.default_model_filename or DEFAULT_FILES[backend]
    if read_signature is None:
        for problem in refusals(config, backend, None):
            yield "parameters", problem
        return
    for version in served_versions(config, model.versions):
        place = model.path / str(version) / name
        place = place / place.name if place.is_dir() else place  # a folder with the model and its external data
        if not place.is_file():
            continue
        try:
            signature, inferred = read_signature(place, backend)
        except TritonpmError as error:
            yield "model-file", ("", f"the model file {version}/{name} cannot be read: {error.what}")
            continue
        for problem in refusals(config, backend, signature, inferred=inferred):
            yield "model-tensors", problem
