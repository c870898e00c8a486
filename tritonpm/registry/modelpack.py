"""A package as a ModelPack: one layer a file, so that KitOps, Docker and whatever else reads those can take it.

The layers that are put are the files themselves, neither packed nor compressed; those of others may be tars, as KitOps
and modctl write them. What is fetched becomes a .zip again, whose bytes are the same wherever that is done: signatures
are of it. Source: CNCF ModelPack model-spec v1 (spec.md, config.md, annotations.md, schema/config-schema.json).
"""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from tritonpm.core.errors import PackageError, RegistryError, UnsafeError
from tritonpm.core.extras import needed
from tritonpm.core.files import DIGEST, digest_of_stream
from tritonpm.core.units import human
from tritonpm.package.exporter import pack
from tritonpm.package.limits import Limits
from tritonpm.package.staging import Staging
from tritonpm.package.tar import tar_members
from tritonpm.registry import TITLE, VERSION

if TYPE_CHECKING:
    from tritonpm.core.types import Package
    from tritonpm.registry.oci_repository import OciBlob, OciManifest

PACK_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
DIGEST_ANNOTATION = "vnd.tritonpm.package.digest"  # of the .zip
FILE = "org.cncf.model.filepath"
_LICENSES = "org.opencontainers.image.licenses"
_KINDS = {
    "weight": (), "weight.config": (".yaml", ".yml", ".json", ".pbtxt", ".txt"), "dataset": (".npz",),
    "doc": (".md", ".rst"), "code": (".py",),
}  # fmt: skip
_RAW = "raw"
_PACKINGS = (_RAW, "tar", "tar+gzip", "tar+zstd")  # as a media type ends
_DOCUMENTS = ("license", "notice", "readme", "copying")
_PUBLISHER = "ask who published it"


@dataclass(frozen=True)
class PackLayer:
    """A file of a package as a layer: media type, digest, size in bytes, and what opens it."""

    kind: str
    digest: str
    size: int
    annotations: Mapping[str, str]
    opened: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Pack:
    """What a ModelPack is put together of; `config` is its configuration as JSON."""

    layers: tuple[PackLayer, ...]
    config: bytes
    annotations: Mapping[str, str]


def is_pack(manifest: OciManifest) -> bool:
    """Whether a manifest is of a ModelPack."""
    return manifest.artifact_type == PACK_TYPE or (
        manifest.config is not None and manifest.config.media_type == CONFIG_TYPE
    )


def published(archive: Path, digest: str, package: Package) -> Pack:
    """The ModelPack of a package that was exported as `archive`, a .zip of that digest."""
    layers = tuple(_layer(archive, path, package.model_card) for path in _paths(archive))
    told = {"name": package.name, "version": package.version}
    formats = {stage.format.value for stage in package.stages if stage.format}
    config = {
        "descriptor": told | ({"licenses": [package.license]} if package.license else {}),
        "config": {"format": formats.pop()} if len(formats) == 1 else {},
        "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
    }
    annotations = {DIGEST_ANNOTATION: digest, TITLE: package.name, VERSION: package.version}
    annotations |= {_LICENSES: package.license} if package.license else {}
    return Pack(layers, json.dumps(config).encode(), annotations)


def unpacking(folder: Path, where: str, most: int) -> Staging:
    """Where the files of a ModelPack are unpacked to, of at most so many bytes."""
    return Staging(folder, where, replace(Limits(), total=most))


def pack_layers(manifest: OciManifest, staging: Staging) -> list[OciBlob]:
    """The layers, each checked as far as the manifest tells. Raises RegistryError, UnsafeError."""
    where = staging.where
    for layer in manifest.layers:
        path = layer.annotations.get(FILE, "")
        if _packing(layer) not in _PACKINGS:
            what = f"holds {path or layer.digest} as {layer.media_type}, and only raw files and tars are taken"
            raise RegistryError(what, where=where, do="pack it with `modctl build --raw`")
        if not DIGEST.fullmatch(layer.digest) or layer.size < 0:
            raise RegistryError(f"holds {path} under a name that is not a digest", where=where, do=_PUBLISHER)
        if _packing(layer) == _RAW:
            staging.paths.add(path)
    if not manifest.layers:
        raise RegistryError("holds no files", where=where, do=_PUBLISHER)
    total, most = sum(layer.size for layer in manifest.layers), staging.limits.total
    if total > most:
        raise RegistryError(f"is {human(total)} long, and {human(most)} is the most", where=where, do=_PUBLISHER)
    return list(manifest.layers)


def files_of(layer: OciBlob, blob: Path, staging: Staging) -> dict[str, Path]:
    """The files of a fetched layer, by their paths. Raises UnsafeError, PackageError, StorageError."""
    told = layer.annotations.get(FILE, "")
    if _packing(layer) == _RAW:
        return {told: blob}
    files, before = {}, staging.done
    with _unpacked(blob, _packing(layer), staging.where) as stream:
        for member, contents in tar_members(stream, f"{staging.where}: {told or layer.digest}", staging.limits):
            path = told if member == PurePosixPath(told).name else member  # modctl once packed files without folders
            staging.paths.add(path)
            staging.write(path, _bounded(contents, layer, staging, before))
            files[path] = staging.root / path
    return files


def _packing(layer: OciBlob) -> str:
    return layer.media_type.rpartition(".v1.")[2]


@contextmanager
def _unpacked(blob: Path, packing: str, where: str) -> Iterator[IO[bytes]]:
    """The tar in a layer. Raises PackageError where it is not compressed as it says."""
    if packing == "tar+zstd":
        with needed("tar+zstd", "registry"):
            import zstandard
        broken: tuple[type[Exception], ...] = (zstandard.ZstdError,)
    else:
        broken = (gzip.BadGzipFile, EOFError, zlib.error)
    try:
        with blob.open("rb") as stream:
            if packing == "tar":
                yield stream
            elif packing == "tar+gzip":
                yield cast(IO[bytes], gzip.GzipFile(fileobj=stream))
            else:
                yield zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
    except broken:
        raise PackageError("is compressed in a way that is damaged", where=where, do=_PUBLISHER) from None


def _bounded(contents: Iterable[bytes], layer: OciBlob, staging: Staging, before: int) -> Iterator[bytes]:
    """As of an archive: a layer that unpacks to much more than was fetched is a bomb."""
    limits = staging.limits
    for chunk in contents:
        size = staging.done - before + len(chunk)
        if size > limits.ratio_floor and size > limits.ratio * layer.size:
            what = f"unpacks {human(layer.size)} to more than {limits.ratio} times as much"
            raise UnsafeError(what, where=staging.where, do=_PUBLISHER)
        yield chunk


def written(files: Mapping[str, Path], target: Path) -> None:
    """Write the fetched files of a ModelPack, by path, as a package's .zip. Raises StorageError."""

    def opener(file: Path) -> Callable[[], IO[bytes]]:
        return lambda: file.open("rb")

    pack({path: (file.stat().st_size, opener(file)) for path, file in files.items()}, target, stored=True)


def _paths(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        return opened.namelist()


def _layer(archive: Path, path: str, card: str | None) -> PackLayer:
    def opened() -> IO[bytes]:
        return zipfile.ZipFile(archive).open(path)

    with zipfile.ZipFile(archive) as members:
        size = members.getinfo(path).file_size
    with opened() as stream:
        digest = digest_of_stream(stream)
    return PackLayer(_kind(path, card), digest, size, {FILE: path, TITLE: path}, opened)


def _kind(path: str, card: str | None) -> str:
    """The media type that says what a file is to a model."""
    name = PurePosixPath(path)
    document = path == card or name.stem.lower() in _DOCUMENTS
    by_ending = (kind for kind, endings in _KINDS.items() if name.suffix.lower() in endings)
    return f"application/vnd.cncf.model.{'doc' if document else next(by_ending, 'weight')}.v1.raw"
