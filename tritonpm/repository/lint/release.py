"""What a Triton release lacks that a model folder asks for: fields of its config, and what its runtimes load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tritonpm.core import releases
from tritonpm.core.errors import TritonpmError
from tritonpm.core.releases import Release
from tritonpm.core.types import Format, Needs
from tritonpm.package.needs import needs, operators_without
from tritonpm.repository.config import messages
from tritonpm.repository.lint.folder import ModelFolder, Problem
from tritonpm.repository.lint.model import backend_of, model_files

_FORMATS = {"onnxruntime": Format.ONNX, "openvino": Format.OPENVINO}
_PACKAGE = "inference."  # of the .proto


def problems(model: ModelFolder, release: Release) -> Iterator[tuple[str, Problem]]:
    """(rule, (field path, sentence)) for each thing that keeps this release from loading the model."""
    for place, field in sorted(_fields(model).items()):
        if not release.has_field(field):
            yield "release-field", (place, _newer(field, release))
    for place, asked in _asked(model):
        for sentence in lacking(asked, release):
            yield "release-model", ("", f"the model file {place} {sentence}")
    yield from _kernels(model, release)


def lacking(asked: Needs, release: Release) -> Iterator[str]:
    """What a model file asks for beyond what a release takes: the rest of a sentence about it."""
    runtime = f"{_runtime('ONNX Runtime', release.onnxruntime)} of {release.title}"
    if asked.ir > release.ir:
        yield f"has IR {asked.ir}; {runtime} takes {release.ir} at most ({_since(releases.first_with_ir(asked.ir))})"
    if asked.opset > release.opset:
        first = _since(releases.first_with_opset(asked.opset))
        yield f"has opset {asked.opset}; {runtime} takes {release.opset} at most ({first})"
    if asked.ml > release.ml:
        first = _since(releases.first_with_ml(asked.ml))
        yield f"has opset {asked.ml} of ai.onnx.ml; {runtime} takes {release.ml} at most ({first})"
    if asked.openvino > release.openvino_opset:
        first = _since(releases.first_with_openvino(asked.openvino))
        runtime = f"{_runtime('OpenVINO', release.openvino)} of {release.title}"
        yield f"has layers of opset{asked.openvino}; {runtime} has opset{release.openvino_opset} at most ({first})"


def _kernels(model: ModelFolder, release: Release) -> Iterator[tuple[str, Problem]]:
    """Operators without a kernel, where all of the model's instances are on the CPU: a GPU has others."""
    cpu = messages().ModelInstanceGroup.KIND_CPU
    groups = model.config.instance_group
    if backend_of(model) != "onnxruntime" or not groups or any(group.kind != cpu for group in groups):
        return
    if not release.onnxruntime:  # of the embedded server: it is not installed
        return
    for place, path in _readable(model):
        try:
            missing = operators_without(path, release.onnxruntime)
        except TritonpmError:
            continue
        for operator in missing:
            runtime = f"ONNX Runtime {release.onnxruntime} of {release.title}"
            yield (
                "release-kernel",
                ("", f"the model file {place} uses {operator}, which {runtime} does not load on a CPU"),
            )


def _runtime(name: str, version: str) -> str:
    return f"{name} {version}" if version else f"the {name}"  # the embedded server's may not be installed


def _since(release: str) -> str:
    return f"the first release that does is {release}" if release else "no release does so far"


def _newer(field: str, release: Release) -> str:
    kind, _, name = field.rpartition(".")
    came = releases.first_with_field(field)
    since = f"came with Triton {came}" if came else "is of no release so far"
    return f"{name} of {kind} {since}; {release.title} cannot read it"


def _fields(model: ModelFolder) -> dict[str, str]:
    """Where a field, or a value of an enum, stands → its name in the .proto; also one that says its default.

    A server reads the text: a field that it does not know fails whatever it says.
    """
    found = {}
    for place in model.lines:
        if place.endswith("]") and (field := _named(place)):
            found[place] = field
    found.update(_values(model.config, ""))
    return found


def _named(place: str) -> str:
    """ "ModelInput.dims" for "input[0].dims[0]"; "" for what is no message's field, such as a map's key."""
    descriptor: Any = messages().ModelConfig.DESCRIPTOR
    owner = field = descriptor
    for name in re.sub(r"\[\d+\]", "", place).split("."):
        field = descriptor.fields_by_name.get(name) if descriptor is not None else None
        if field is None:
            return ""
        owner, descriptor = descriptor, field.message_type
    return "" if owner.GetOptions().map_entry else f"{owner.full_name.removeprefix(_PACKAGE)}.{field.name}"


def _values(message: Any, around: str) -> Iterator[tuple[str, str]]:
    """The enum values of a config, by the place of their field."""
    for field, value in message.ListFields():
        values = value if _repeated(value) else (value,)
        for number, single in enumerate(values):
            place = f"{around}{field.name}[{number}]"
            if field.enum_type is not None:
                scope = field.enum_type.full_name.removeprefix(_PACKAGE)
                if name := field.enum_type.values_by_number.get(single):  # any number is read, also one without a name
                    yield f"{place}={single}", f"{scope}.{name.name}"
            elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
                yield from _values(single, f"{place}.")


def _repeated(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes)) and not hasattr(value, "keys")


def _asked(model: ModelFolder) -> Iterator[tuple[str, Needs]]:
    """What each served version's model file asks for; what cannot be read is another rule's."""
    for place, path in _readable(model):
        try:
            yield place, needs(path, _FORMATS[backend_of(model)])
        except TritonpmError:
            continue


def _readable(model: ModelFolder) -> Iterator[tuple[str, Path]]:
    """The model file of each served version, where it is there and tells what it asks for."""
    backend = backend_of(model)
    for place, path in model_files(model) if backend in _FORMATS else ():
        if path.is_file() and not (backend == "openvino" and path.suffix == ".onnx"):  # which it reads leniently
            yield place, path
