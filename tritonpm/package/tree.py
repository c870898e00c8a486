"""A source, whatever it is, becomes a tree of staged files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonpm.core.errors import NotFoundError, PackageError
from tritonpm.core.files import digest_of_bytes
from tritonpm.core.types import File, Format
from tritonpm.package.archive import is_zip, stage_archive
from tritonpm.package.limits import Limits
from tritonpm.package.signature import CONVERTED, format_of, to_convert
from tritonpm.package.signature.onnx import external_files
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

    def add(self, path: str, content: bytes) -> None:
        """Put a file of ours into the tree. Raises PackageError where the package has one of that name."""
        if (self.root / path).exists():
            if self.files[path].digest == digest_of_bytes(content):
                return
            raise PackageError(f"{path!r} is in the way of the stage's own labels", where=self.where, do="rename it")
        staging = Staging(self.root, self.where, Limits())
        self.files[path] = staging.write(path, [content])


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
    elif other := CONVERTED.get(real.suffix.lower()):
        raise PackageError(f"nothing here serves {other.value} as it is", where=staging.where, do=to_convert(real.name))
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
    where = f"{staging.where}: {main}"
    if format is Format.OPENVINO and source.with_suffix(".bin").is_file():
        stage_file(source.with_suffix(".bin"), "model.bin", staging)
    elif format is Format.ONNX and staging.files[main].size:
        for path, size in external_files(staging.root / main, source.parent, where, staging.limits).items():
            staging.expect(staging.done + size)
            stage_file(source.parent / path, path, staging)
