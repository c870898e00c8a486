"""A revision into a folder that Triton reads: written and synced aside, then renamed in, the ensemble last."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from tritonpm.core.errors import StorageError
from tritonpm.core.files import digest_of, link_or_copy, storage_error, sync
from tritonpm.core.types import REVISION, RenderedModel, RepositoryFile, Revision

_LONGEST = 1 << 22  # bytes of a config that is looked into
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
    require_ours((model.name for model in revision.models), root, blob_path)
    try:
        for model in revision.models:
            if not anew and is_there(model, root / model.name):
                continue
            _put(_staged(model, staging / model.name, blob_path, link), root / model.name, staging)
        sync(root)
    except OSError as error:
        raise storage_error(error, root) from None


def withdraw(names: Iterable[str], root: Path, staging: Path, blob_path: BlobPath) -> None:
    """Take models out of `root`, an ensemble (whose name has no dot) before its members. Raises StorageError."""
    try:
        for name in sorted(names, key=lambda name: ("." in name, name)):
            if (root / name).is_dir():
                require_ours((name,), root, blob_path)
                (root / name).rename(staging / f"{name}.withdrawn")
                shutil.rmtree(staging / f"{name}.withdrawn")
        sync(root)
    except OSError as error:
        raise storage_error(error, root) from None


def is_ours(folder: Path, blob_path: BlobPath) -> bool:
    """Whether tritonpm made this model folder: its config carries a revision.

    Where somebody has deleted the config, every file that is left must be one of ours.
    """
    config = folder / "config.pbtxt"
    if config.exists():
        return _is_marked(config)
    files = _files(folder)
    return bool(files) and all(_is_from_here(path, blob_path) for path in files)


def require_ours(names: Iterable[str], root: Path, blob_path: BlobPath) -> None:
    """Raise StorageError where a folder of these names is somebody else's; an empty one is nobody's."""
    for folder in (root / name for name in names):
        if folder.exists() and _files(folder) and not is_ours(folder, blob_path):
            raise StorageError(
                "is a folder that tritonpm did not make", where=str(folder), do="move it away, or import it"
            )


def require_publishable(revision: Revision, root: Path, verified: BlobPath) -> None:
    """Raise StorageError where a folder is somebody else's, or a blob that is yet to be put there has changed.

    `verified` is a `blob_path` that reads the blob.
    """
    require_ours((model.name for model in revision.models), root, verified)
    for model in revision.models:
        if not is_there(model, root / model.name):
            for digest in {file.blob for file in model.files if file.blob}:
                verified(digest)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def _is_marked(config: Path) -> bool:
    return config.is_file() and config.stat().st_size < _LONGEST and REVISION in config.read_text(errors="replace")


def _is_from_here(path: Path, blob_path: BlobPath) -> bool:
    """An empty file, a config that carries a revision, or what is a blob of this workspace."""
    if path.is_symlink() or not path.is_file():
        return False
    if not path.stat().st_size or (path.suffix == ".pbtxt" and _is_marked(path)):
        return True
    with suppress(StorageError):
        return blob_path(digest_of(path)).is_file()
    return False


def is_there(model: RenderedModel, folder: Path) -> bool:
    """Whether the folder is this very model: its config carries the mark of all its files, which must be there."""
    try:
        same = all((folder / file.path).read_text(encoding="utf-8") == file.text for file in model.files if file.text)
        return same and all((folder / file.path).is_file() for file in model.files)
    except (OSError, UnicodeDecodeError):
        return False


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
    (link_or_copy if link else shutil.copyfile)(blob, place)


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
