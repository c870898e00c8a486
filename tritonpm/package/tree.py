"""A source, whatever it is, becomes a tree of staged files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonpm.data import File, Format
from tritonpm.errors import NotFoundError, PackageError
from tritonpm.package.archive import is_zip, stage_archive
from tritonpm.package.limits import Limits
from tritonpm.package.signature import format_of
from tritonpm.package.staging import Progress, Staging, opened, stage_file, stage_folder


@dataclass(frozen=True)
class Tree:
    """Staged files. `folder` is the name of the folder they lay in ("": none); `stem` is the source's name."""

    root: Path
    where: str
    files: dict[str, File]
    folders: frozenset[str]
    folder: str
    stem: str


def stage(source: Path, root: Path, limits: Limits, progress: Progress) -> Tree:
    """Copy or unpack `source` into the empty folder `root`."""
    staging = Staging(root, source.name, limits, progress)
    real = source.resolve()
    if not real.exists():
        raise NotFoundError("there is no such file or folder", where=str(source), do="check the path")
    folder = real.name if real.is_dir() else ""
    if folder:
        stage_folder(real, staging)
    elif format_of(real.name):
        _stage_bare(real, staging)
    else:
        with opened(real, staging.where) as stream:
            if not is_zip(stream.read(4)):
                raise PackageError("is neither a package (.zip or folder) nor a model", where=staging.where,
                                   do="hand in a .zip, a folder, .onnx, .xml, .plan, .pt or .pt2")  # fmt: skip
            folder = stage_archive(stream, staging)
    stem = real.name if real.is_dir() else real.stem
    return Tree(root, staging.where, staging.files, frozenset(staging.paths.folders), folder, folder or stem)


def _stage_bare(source: Path, staging: Staging) -> None:
    """A model file and what it needs beside it. Its own name is the package's, so the copy is plainly named `model`."""
    format = format_of(source.name)
    main = f"model{source.suffix.lower()}"
    staging.expect(source.stat().st_size)
    stage_file(source, main, staging)
    if format is Format.OPENVINO and source.with_suffix(".bin").is_file():
        stage_file(source.with_suffix(".bin"), "model.bin", staging)
