"""`import` of a model that nothing here serves as it is: converted to OpenVINO on the way, proved where it can be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.types import Format
from tritonpm.meaning.inferred import BESIDE
from tritonpm.package.code import RUNNING_FORMATS, allow
from tritonpm.package.config import FILE as CONFIG
from tritonpm.package.limits import Limits
from tritonpm.package.manifest import FILE as MANIFEST
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
    model = _model(source)
    if model is None:
        yield source
        return
    from tritonpm.operations.optimize.convert_file import convert

    format = CONVERTIBLE.get(model.suffix.lower(), Format.SAVED_MODEL)
    allow(RUNNING_FORMATS.get(format, ""), source.name, allow_code)
    with context.workspace.scratch("convert") as scratch:
        copy = _copied(source, model, scratch / "original")
        folder = scratch / source.stem
        view = convert(copy, "openvino", folder, progress=context.progress, trusted=allow_code)
        beside = copy if copy.is_dir() else copy.parent
        for document in BESIDE:
            if (beside / document).is_file():
                shutil.copyfile(beside / document, folder / document)
        good = view.agreement.state == "verified"
        proof = f"verified against {format.value}" if good else f"{view.agreement.state}: {view.agreement.reason}"
        context.warn(f"{source.name}: was converted from {format.value} to openvino, {proof}")
        yield folder


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
