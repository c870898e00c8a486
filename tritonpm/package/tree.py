"""A source, whatever it is, becomes a tree of staged files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from tritonpm.core.errors import NotFoundError, PackageError
from tritonpm.core.files import digest_of_bytes, link_or_copy
from tritonpm.core.scratch import temporary
from tritonpm.core.types import File, Format
from tritonpm.package.archive import is_zip, stage_archive
from tritonpm.package.limits import Limits
from tritonpm.package.signature import format_of, require_served
from tritonpm.package.signature.onnx import external_locations
from tritonpm.package.staging import Progress, Staging, linked, opened, stage_file, stage_folder

_HEAD = 64  # bytes of a file that may be none of ours
_PADDLE = b'"magic":"pir"'  # in the head of a program in PaddlePaddle 3's JSON


@dataclass(frozen=True)
class Tree:
    """Staged files. `folder` is the name of the folder they lay in ("": none); `stem` is the source's name."""

    root: Path
    where: str
    files: dict[str, File]
    folders: frozenset[str]
    folder: str
    stem: str
    renamed: set[str] = field(default_factory=set)  # paths whose files lie under another name as well

    def add(self, path: str, content: bytes, what: str) -> None:
        """Put a file of ours into the tree. Raises PackageError where the package has one of that name."""
        if (self.root / path).exists():
            if self.files[path].digest == digest_of_bytes(content):
                return
            raise PackageError(f"{path!r} is in the way of the stage's own {what}", where=self.where, do="rename it")
        self.files[path] = self._write(path, [content])

    def replace(self, path: str, content: Iterable[bytes]) -> None:
        """Write a file of the tree anew."""
        (self.root / path).unlink()
        self.files[path] = self._write(path, content)

    def rename(self, path: str, new: str) -> None:
        """Put a file where we want it; others may still know it by its old path, until `forget`.

        Raises PackageError where the package has another file there.
        """
        self.renamed.add(path)
        if new not in self.files:
            link_or_copy(self.root / path, self.root / new)
            self.files[new] = replace(self.files[path], path=new)
        elif self.files[new].digest != self.files[path].digest:
            raise PackageError(f"{new!r} is in the way of the model's own weights", where=self.where, do="rename it")

    def forget(self, used: Collection[str]) -> None:
        """Drop the files that were renamed and that nothing names by their old path."""
        for path in self.renamed.difference(used):
            (self.root / path).unlink(missing_ok=True)
            self.files.pop(path, None)

    def _write(self, path: str, content: Iterable[bytes]) -> File:
        return Staging(self.root, self.where, Limits()).write(path, content)


def stage(source: Path, root: Path, limits: Limits, progress: Progress) -> Tree:
    """Copy or unpack `source` into the empty folder `root`.

    The path itself may be a link, as in the Hugging Face hub's cache: it was named by the user, so its own name tells
    what it is, and what lies beside it may be links to where it leads.
    """
    staging = Staging(root, source.name, limits, progress)
    real = source.resolve()
    if not real.exists():
        raise NotFoundError("there is no such file or folder", where=str(source), do="check the path")
    named = real if real.is_dir() or not (format_of(source.name) or source.suffix) else source
    folder = real.name if real.is_dir() else ""
    if folder:
        stage_folder(real, staging)
    elif format_of(named.name):
        _stage_bare(named, staging)
    else:
        require_served(named.name, staging.where)
        with opened(real, staging.where) as stream:
            head = stream.read(_HEAD)
            if _PADDLE in head:
                what = "is in PaddlePaddle 3's own format, which OpenVINO does not read"
                raise PackageError(what, where=staging.where, do="save it as .pdmodel, with FLAGS_enable_pir_api=0")
            if not is_zip(head[:4]):
                raise PackageError("is neither a package (.zip or folder) nor a model", where=staging.where,
                                   do="provide a .zip, a folder, .onnx, .xml, .plan, .pt or .pt2")  # fmt: skip
            folder = stage_archive(stream, staging)
    stem = named.name if real.is_dir() else named.stem
    return Tree(root, staging.where, staging.files, frozenset(staging.paths.folders), folder, folder or stem)


@contextmanager
def plain(source: Path) -> Iterator[Path]:
    """A model without links: where it is one it is copied, with what it needs beside it, for as long as this lasts.

    Raises PackageError.
    """
    if not source.is_symlink() or source.is_dir() or not format_of(source.name):
        yield source
        return
    with temporary("model") as folder:
        staging = Staging(folder, source.name, Limits())
        _stage_bare(source, staging)
        yield folder / next(iter(staging.files))


def _stage_bare(source: Path, staging: Staging) -> None:
    """A model file and what it needs beside it. Its own name is the package's, so the copy is plainly named `model`."""
    format = format_of(source.name)
    main = f"model{source.suffix.lower()}"
    staging.expect(source.stat().st_size)
    stage_file(source.resolve(), main, staging)
    where = f"{staging.where}: {main}"
    if format is Format.OPENVINO and source.with_suffix(".bin").is_file():
        stage_file(_beside(source, source.with_suffix(".bin").name), "model.bin", staging)
    elif format is Format.ONNX and staging.files[main].size:
        for path in external_locations(staging.root / main, where, staging.limits):
            file = _beside(source, path)
            if file.is_file():  # else reading the model says which of its tensors misses it
                staging.expect(staging.done + file.stat().st_size)
                stage_file(file, path, staging)


def _beside(source: Path, path: str) -> Path:
    """A file beside a model; where the model is a link the file may be one too, into the folder that the model is in.

    Raises UnsafeError where the way there is a link.
    """
    file = source.parent / path
    for folder in list(PurePosixPath(path).parents)[:-1]:
        if (source.parent / folder).is_symlink():
            raise linked(str(file))
    beside = source.is_symlink() and file.is_symlink() and file.resolve().parent == source.resolve().parent
    return file.resolve() if beside else file
