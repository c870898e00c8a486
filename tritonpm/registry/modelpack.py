"""A package as a ModelPack: one layer a file, so that KitOps, Docker and whatever else reads those can take it.

The layers are the files themselves, neither packed nor compressed. What is fetched becomes a .zip again, whose bytes
are the same wherever that is done: signatures are of it. Source: CNCF ModelPack model-spec v1 (spec.md, config.md,
annotations.md, schema/config-schema.json).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from tritonpm.core.errors import RegistryError
from tritonpm.core.files import DIGEST, digest_of_stream
from tritonpm.core.units import human
from tritonpm.package.exporter import pack
from tritonpm.package.limits import Limits
from tritonpm.package.paths import Paths
from tritonpm.registry import TITLE, VERSION

if TYPE_CHECKING:
    from tritonpm.core.types import Package
    from tritonpm.registry.oci_repository import OciBlob, OciManifest

PACK_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
DIGEST_ANNOTATION = "vnd.tritonpm.package.digest"  # of the .zip
_FILE = "org.cncf.model.filepath"
_LICENSES = "org.opencontainers.image.licenses"
_KINDS = {
    "weight": (), "weight.config": (".yaml", ".yml", ".json", ".pbtxt", ".txt"), "dataset": (".npz",),
    "doc": (".md", ".rst"), "code": (".py",),
}  # fmt: skip
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


def packed_files(manifest: OciManifest, where: str, most: int) -> dict[str, OciBlob]:
    """The layers by the paths of their files. Raises RegistryError for what no file can be had of, UnsafeError."""
    paths, files = Paths(where, Limits()), {}
    for layer in manifest.layers:
        path = layer.annotations.get(_FILE, "")
        if not layer.media_type.endswith(".raw"):
            what = f"holds {path or layer.digest} as {layer.media_type}, and only files as they are (.raw) are taken"
            raise RegistryError(what, where=where, do="pack it anew so: `modctl build --raw`")
        if not DIGEST.fullmatch(layer.digest) or layer.size < 0:
            raise RegistryError(f"holds {path} under a name that is not a digest", where=where, do=_PUBLISHER)
        paths.add(path)
        files[path] = layer
    if not files:
        raise RegistryError("holds no files", where=where, do=_PUBLISHER)
    total = sum(layer.size for layer in files.values())
    if total > most:
        raise RegistryError(f"is {human(total)} long, and {human(most)} is the most", where=where, do=_PUBLISHER)
    return files


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
    return PackLayer(_kind(path, card), digest, size, {_FILE: path, TITLE: path}, opened)


def _kind(path: str, card: str | None) -> str:
    """The media type that says what a file is to a model."""
    name = PurePosixPath(path)
    document = path == card or name.stem.lower() in _DOCUMENTS
    by_ending = (kind for kind, endings in _KINDS.items() if name.suffix.lower() in endings)
    return f"application/vnd.cncf.model.{'doc' if document else next(by_ending, 'weight')}.v1.raw"
