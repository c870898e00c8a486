"""`import` of a model that nothing here serves as it is: converted to OpenVINO on the way, proved where it can be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tritonpm.convert.foreign import ForeignAnswer, ForeignConversion
from tritonpm.core import sandbox
from tritonpm.core.errors import OptimisationError
from tritonpm.core.plugins import CONVERTERS, described, plugins
from tritonpm.core.types import Format
from tritonpm.meaning.inferred import BESIDE
from tritonpm.operations.optimize.jobs import TIME_LIMIT, default_memory
from tritonpm.package.code import RUNNING_FORMATS, allow
from tritonpm.package.config import FILE as CONFIG
from tritonpm.package.limits import Limits
from tritonpm.package.manifest import FILE as MANIFEST
from tritonpm.package.paths import name_from
from tritonpm.package.signature import CONVERTIBLE, SAVED_MODEL, format_of
from tritonpm.package.staging import Staging, stage_file, stage_folder

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_WEIGHTS = {".pdmodel": ".pdiparams"}  # in a file of their own, beside a model of that ending


@contextmanager
def converted(context: Context, source: Path, *, allow_code: bool = False) -> Iterator[Path]:
    """What is to be read instead of `source`: a folder with what it was converted to, or `source` as it is.

    Raises UnsafeError where the model is a program and code was not allowed, PackageError, OptimisationError.
    """
    if point := _foreign(source):
        with context.workspace.scratch("convert") as scratch:
            yield _by_another(context, source, point, scratch)
        return
    model, format = _model(source), converted_from(source)
    if model is None or format is None:
        yield source
        return
    from tritonpm.operations.optimize.convert_file import convert

    allow(RUNNING_FORMATS.get(format, ""), source.name, allow_code)
    with context.workspace.scratch("convert") as scratch:
        copy = _copied(source, model, scratch / "original")
        folder = scratch / "made" / (source.name if source.is_dir() else source.stem)
        view = convert(copy, "openvino", folder, progress=context.progress, trusted=allow_code)
        beside = copy if copy.is_dir() else copy.parent
        for document in BESIDE:
            if (beside / document).is_file():
                shutil.copyfile(beside / document, folder / document)
        good = view.agreement.state == "verified"
        proof = f"verified against {format.value}" if good else f"{view.agreement.state}: {view.agreement.reason}"
        context.warn(f"{source.name}: was converted from {format.value} to openvino, {proof}")
        yield folder


def converted_from(source: Path) -> Format | None:
    """The format that `import` converts a source from; None where that is not done, or by another distribution."""
    model = _model(source)
    return None if model is None else CONVERTIBLE.get(model.suffix.lower(), Format.SAVED_MODEL)


def _foreign(source: Path) -> EntryPoint | None:
    """Who else converts a file of this ending; ours are nobody else's."""
    ending = source.suffix.lower()
    if not source.is_file() or ending in CONVERTIBLE or format_of(source.name) or ending in ("", ".zip"):
        return None
    return plugins(CONVERTERS).get(ending.removeprefix("."))


def _by_another(context: Context, source: Path, point: EntryPoint, scratch: Path) -> Path:
    """The model that another distribution's converter makes, in a process with limits. Raises OptimisationError."""
    copy, folder = _copied(source, source, scratch / "original"), scratch / "made" / name_from(source.stem)
    folder.mkdir(parents=True)
    request = ForeignConversion(point.name, str(copy), str(folder), default_memory())
    (scratch / "request.json").write_bytes(msgspec.json.encode(request))
    try:
        with context.progress(f"Converting {source.name}"):
            raw = sandbox.answered("tritonpm.convert.foreign", scratch, deadline=TIME_LIMIT)
    except sandbox.EndedError as error:
        raise OptimisationError(f"its conversion {error}", where=source.name, do=f"ask {described(point)}") from None
    answer = msgspec.json.decode(raw, type=ForeignAnswer)
    if not answer.model:
        raise OptimisationError(f"{described(point)} does not convert it: {answer.reason}", where=source.name)
    context.warn(f"{source.name}: was converted by {described(point)}, unverified: the original cannot be run here")
    return folder


def _model(source: Path) -> Path | None:
    """What is to be converted: the file, the SavedModel's folder, or the one model in a folder without a manifest."""
    if not source.is_dir():
        return source if source.is_file() and source.suffix.lower() in CONVERTIBLE else None
    if any((source / name).exists() for name in (MANIFEST, CONFIG)):
        return None
    if (source / SAVED_MODEL).is_file():
        return source
    files = [path for path in source.iterdir() if path.is_file()]
    models = [path for path in files if path.suffix.lower() in CONVERTIBLE]
    others = [path for path in files if format_of(path.name) and path not in models]
    return models[0] if len(models) == 1 and not others else None


def _copied(source: Path, model: Path, folder: Path) -> Path:
    """The model's copy, held to the limits: what is converted is what was checked, and no link in it is followed."""
    folder.mkdir()
    staging = Staging(folder, source.name, Limits())
    if source.is_dir():
        stage_folder(source.resolve(), staging)
        return folder if model == source else folder / model.name
    stage_file(source.resolve(), source.name, staging)
    weights = source.with_suffix(_WEIGHTS.get(source.suffix.lower(), source.suffix))
    if weights != source and weights.is_file():
        stage_file(weights, weights.name, staging)
    return folder / source.name
