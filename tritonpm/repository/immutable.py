"""A model as it lies in a store, where no folder can be renamed: all but its configs under names of its content.

Triton reads a model's config, and some time later copies the folder. So nothing that a config names may ever change: a
version folder's number comes from what is in it, a label file carries its digest, and the config, which is one object
and so old or new, names the numbers that it serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby, takewhile
from typing import Any

import msgspec

from tritonpm.core.errors import RenderError
from tritonpm.core.files import digest_of_bytes
from tritonpm.core.types import RenderedModel, RepositoryFile, Revision
from tritonpm.package.config import parsed
from tritonpm.repository.render import CONFIG

_CONTENT = 10**9  # the last nine digits of a number are its content's, those before them the version
_LARGEST = 2**63 - 1  # of the versions that Triton can count
_WARMUP = "warmup/"  # where Triton looks for a warm-up's input_data_file
_HERE = "$$TRITON_MODEL_DIRECTORY/"  # in parameters, the model's folder
_NOTE = "# Its version folders are numbered by their content: nobody ever reads half of one."


def immutable(revision: Revision) -> Revision:
    """The same revision with every file but the public model's configs under a name that means this very content.

    Raises RenderError where a version's number leaves no room for that.
    """
    return replace(revision, models=tuple(_immutable(model) for model in revision.models))


def is_config(path: str) -> bool:
    """Whether a file, by its path in the model's folder, is a config: what moves a model."""
    return path == CONFIG or path.startswith("configs/")


def versions(model: RenderedModel) -> tuple[str, ...]:
    """The version folders that a model's config serves."""
    config = parsed(_text(model), CONFIG)
    return tuple(str(version) for version in _served(config, _folders(model)))


def _immutable(model: RenderedModel) -> RenderedModel:
    if "." in model.name:  # a member, whose name is its content's already
        return model
    new = {**_numbered(model), **_named(model)}
    if not new:
        return model
    place = _placing(new)
    files = tuple(
        replace(file, text=_config(file.text or "", _folders(model), place))
        if is_config(file.path)
        else replace(file, path=place(file.path))
        for file in model.files
    )
    return replace(model, files=files)


def _text(model: RenderedModel) -> str:
    return next(file.text or "" for file in model.files if file.path == CONFIG)


def _folders(model: RenderedModel) -> list[int]:
    """The version folders, the oldest first."""
    folders = {file.path.partition("/")[0] for file in model.files if "/" in file.path}
    return sorted(int(folder) for folder in folders if folder.isdecimal())


def _numbered(model: RenderedModel) -> dict[str, str]:
    """The new number of each version folder: ordered as the versions were, and another one for any other content."""
    folders = {}
    ordered = sorted((file for file in model.files if file.path[0].isdecimal()), key=lambda file: file.path)
    for folder, inside in groupby(ordered, lambda file: file.path.partition("/")[0]):
        held = [replace(file, path=file.path.removeprefix(folder)) for file in inside]
        if folder.isdecimal() and any(file.blob or file.text for file in held):  # an ensemble's is empty
            digest = hashlib.sha256(msgspec.json.encode(held)).digest()
            number = int(folder) * _CONTENT + int.from_bytes(digest, "big") % _CONTENT
            if number > _LARGEST:
                what = f"its version {folder} is too large to carry the mark of its content"
                raise RenderError(what, where=model.name, do="import it with a smaller version number")
            folders[folder] = str(number)
    return folders


def _named(model: RenderedModel) -> dict[str, str]:
    """The new paths of the files in the model's folder itself that its config names."""
    config = parsed(_text(model), CONFIG)
    named = {output.label_filename for output in config.output}
    named |= {_WARMUP + value.input_data_file for sample in config.model_warmup for value in sample.inputs.values()}
    named |= {value.string_value.removeprefix(_HERE) for value in config.parameters.values()}
    return {
        file.path: _with_digest(file)
        for file in model.files
        if file.path in named and not file.path.partition("/")[0].isdecimal()
    }


def _with_digest(file: RepositoryFile) -> str:
    content = file.blob or digest_of_bytes((file.text or "").encode())
    folder, slash, name = file.path.rpartition("/")
    return f"{folder}{slash}{content.removeprefix('sha256:')[:12]}-{name}"


def _placing(new: Mapping[str, str]) -> Callable[[str], str]:
    """Where a file goes, by its path: as it is renamed itself, or with its version folder."""

    def place(path: str) -> str:
        folder, slash, inside = path.partition("/")
        return new.get(path) or f"{new.get(folder, folder)}{slash}{inside}"

    return place


def _config(text: str, folders: list[int], place: Callable[[str], str]) -> str:
    """A config that names what it serves by its new names; its comments stay."""
    from google.protobuf import text_format

    config = parsed(text, CONFIG)
    served = [int(place(str(version))) for version in _served(config, folders)]
    config.version_policy.Clear()
    config.version_policy.specific.versions.extend(served)
    for output in config.output:
        output.label_filename = place(output.label_filename)
    for sample in config.model_warmup:
        for value in sample.inputs.values():
            if value.input_data_file:
                value.input_data_file = place(_WARMUP + value.input_data_file).removeprefix(_WARMUP)
    for value in config.parameters.values():
        if value.string_value.startswith(_HERE):
            value.string_value = _HERE + place(value.string_value.removeprefix(_HERE))
    comments = takewhile(lambda line: line.startswith("#"), text.splitlines())
    rewritten = text_format.MessageToString(config, as_utf8=True, use_short_repeated_primitives=True)
    return "\n".join([*comments, _NOTE, rewritten])


def _served(config: Any, folders: list[int]) -> list[int]:
    """Which version folders, the oldest first, Triton serves by a config's policy."""
    policy = config.version_policy
    if policy.HasField("all"):
        return folders
    if policy.HasField("specific"):
        return [version for version in folders if version in policy.specific.versions]
    return folders[-(policy.latest.num_versions or 1) :]
