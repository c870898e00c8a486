"""A revision into a folder that Triton reads: written and synced aside, then renamed in, the ensemble last."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from tritonpm.data import RenderedModel, RepositoryFile, Revision
from tritonpm.disk import storage_error, sync
from tritonpm.errors import StorageError
from tritonpm.repository.config import REVISION

_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE, AT_FDCWD of renameat2(2)
BlobPath = Callable[[str], Path]


def publish(
    revision: Revision, root: Path, staging: Path, blob_path: BlobPath, *, link: bool = True, anew: bool = False
) -> None:
    """Put every model of a revision into `root`, each in one rename.

    `staging` is an empty folder on the same file system. With `link` model files are hard links to the read-only blobs.
    A model that is there already is left untouched, since Triton would load it again for its new date; `anew` writes it
    all the same. Raises StorageError; what was there before stays.
    """
    for model in revision.models:
        _require_ours(root / model.name)
    try:
        for model in revision.models:
            if not anew and _is_there(model, root / model.name):
                continue
            _put(_staged(model, staging / model.name, blob_path, link), root / model.name, staging)
        sync(root)
    except OSError as error:
        raise storage_error(error, root) from None


def withdraw(names: Iterable[str], root: Path, staging: Path) -> None:
    """Take models out of `root`, an ensemble (whose name has no dot) before its members. Raises StorageError."""
    try:
        for name in sorted(names, key=lambda name: ("." in name, name)):
            if (root / name).is_dir():
                _require_ours(root / name)
                (root / name).rename(staging / f"{name}.withdrawn")
                shutil.rmtree(staging / f"{name}.withdrawn")
        sync(root)
    except OSError as error:
        raise storage_error(error, root) from None


def is_ours(folder: Path) -> bool:
    """Whether tritonpm made this model folder: its config carries a revision."""
    config = folder / "config.pbtxt"
    return config.is_file() and config.stat().st_size < 1 << 22 and REVISION in config.read_text(errors="replace")


def _is_there(model: RenderedModel, folder: Path) -> bool:
    """Whether the folder is this very model: its config carries the mark of all its files, which must be there."""
    try:
        same = all((folder / file.path).read_text(encoding="utf-8") == file.text for file in model.files if file.text)
        return same and all((folder / file.path).is_file() for file in model.files)
    except (OSError, UnicodeDecodeError):
        return False


def _require_ours(folder: Path) -> None:
    if folder.exists() and not is_ours(folder):
        raise StorageError("is a folder that tritonpm did not make", where=str(folder), do="move it away, or import it")


def _staged(model: RenderedModel, folder: Path, blob_path: BlobPath, link: bool) -> Path:
    for file in model.files:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        _write(file, place, blob_path, link)
        sync(place)
    for inner in sorted({path.parent for path in folder.rglob("*")} | {folder}, reverse=True):
        sync(inner)
    return folder


def _write(file: RepositoryFile, place: Path, blob_path: BlobPath, link: bool) -> None:
    if file.blob is None:
        place.write_text(file.text or "", encoding="utf-8", newline="")
        return
    blob = blob_path(file.blob)
    if link:
        try:
            os.link(blob, place)
            return
        except OSError:  # another file system, or one without hard links
            pass
    shutil.copyfile(blob, place)


def _put(made: Path, place: Path, staging: Path) -> None:
    """Rename `made` to `place`; a folder that is there is exchanged in the same instant where the kernel can."""
    if not place.exists():
        made.rename(place)
    elif not _exchange(made, place):
        place.rename(staging / f"{place.name}.old")
        made.rename(place)


def _exchange(one: Path, other: Path) -> bool:
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
