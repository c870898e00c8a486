"""An ensemble that was handed in becomes a cascade where it is one: its members are then its own, to be optimised."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpm.core.errors import NotFoundError, StorageError
from tritonpm.core.types import File, Format, Package, Stage
from tritonpm.operations.batch_axes import Place, batch_axes, in_blobs
from tritonpm.operations.render import configs
from tritonpm.operations.starting_settings import starting_settings
from tritonpm.package.config import is_ensemble, parsed, steps
from tritonpm.package.reader import digest
from tritonpm.repository.ensemble_flow import NoCascadeError, flow, require_plain

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def as_cascade(context: Context, package: Package, staging: Path) -> Package:
    """The package, or where it is an ensemble of plain packages here the cascade that it is; its files in `staging`."""
    try:
        return _joined(context, package, lambda file: staging / file.path, staging)
    except NoCascadeError:
        return package


def why_no_cascade(context: Context, package: Package, place: Place | None = None) -> str:
    """Why an ensemble stays one, as a sentence; "" where it is none."""
    config = _config(package, place or in_blobs(context))
    if config is None:
        return ""
    try:
        _joined(context, package, place or in_blobs(context), None)
    except NoCascadeError as reason:
        return _SENTENCE.format(reason=reason)
    return "it stays an ensemble, since it was imported before its members had their present form: import it again"


def why_not_by_itself(package: Package, place: Place) -> str:
    """What of an ensemble's own config keeps it one; "" where nothing does, or it is none."""
    config = _config(package, place)
    try:
        if config is not None:
            require_plain(config)
    except NoCascadeError as reason:
        return _SENTENCE.format(reason=reason)
    return ""


_SENTENCE = "it stays an ensemble: {reason}"


def _config(package: Package, place: Place) -> Any:
    """Of an ensemble; None of any other package."""
    stage = package.stages[0]
    if package.cascade or stage.config is None or stage.format is not Format.OTHER:
        return None
    config = parsed(configs(package, place)[stage.config], package.name)
    return config if is_ensemble(config) else None


def _joined(context: Context, package: Package, place: Place, staging: Path | None) -> Package:
    """The cascade; its members' files are put into `staging`. Raises NoCascadeError."""
    config = _config(package, place)
    if config is None:
        return package
    if any(file.size for file in package.files if file.path != package.stages[0].config):
        raise NoCascadeError("it has files of its own")
    members = {name: _member(context, name) for name in steps(config)}
    own = {
        name: parsed(configs(member, in_blobs(context))[str(member.stages[0].config)], name)
        for name, member in members.items()
    }
    joined = flow(config, {name: member.stages[0] for name, member in members.items()}, own)
    if staging is not None:
        _place(context, members, staging)
    files = tuple(_moved(file, name) for name, member in sorted(members.items()) for file in member.files)
    stages = tuple(_in_folder(stage, model) for model, stage in joined)
    made = replace(package, stages=stages, files=tuple(sorted(files, key=lambda file: file.path)))
    return replace(made, digest=digest(made))


def _member(context: Context, name: str) -> Package:
    """A member as it was handed in. Raises NoCascadeError where it is no model folder, or not served as it came."""
    try:
        record = context.catalogue.get(name)
    except NotFoundError:
        raise NoCascadeError(f"its member {name} is not a package here") from None
    package = record.package
    if package.cascade or package.stages[0].config is None:
        raise NoCascadeError(f"its member {name} came without a config.pbtxt")
    with suppress(StorageError):
        if record.settings == starting_settings(context, package, batch_axes(context, package)):
            return package
    raise NoCascadeError(f"its member {name} has settings that it did not come with")


def _moved(file: File, folder: str) -> File:
    return replace(file, path=f"{folder}/{file.path}")


def _in_folder(stage: Stage, folder: str) -> Stage:
    """A member's stage with its files in a folder of the cascade."""
    files = tuple(f"{folder}/{path}" for path in stage.files)
    model = f"{folder}/{stage.model}" if stage.model else ""
    return replace(stage, model=model, files=files, config=f"{folder}/{stage.config}", root=folder)


def _place(context: Context, members: Mapping[str, Package], staging: Path) -> None:
    """The members' files where those of what is handed in lie."""
    for name, member in members.items():
        for file in member.files:
            path = staging / name / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(context.blobs.path(file.digest), path)
            except OSError:  # another file system
                shutil.copyfile(context.blobs.path(file.digest), path)
