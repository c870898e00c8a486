"""Packages in OCI registries: `oci://registry.site/vision/bolts:1.2`, as an artefact of our own type or as a ModelPack.

An address that ends in `@sha256:…` names one manifest for ever.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, PackageError, RegistryError, UsageError
from tritonpm.core.files import digest_of, digest_of_bytes
from tritonpm.registry import ATTESTATION, BESIDE, SIGNATURE, Pushed, beside, shown
from tritonpm.registry.attestation import PREDICATE_TYPE
from tritonpm.registry.image import IMAGE_CONFIG_TYPE, LAYER_TYPE, config
from tritonpm.registry.modelpack import (
    CONFIG_TYPE,
    DIGEST_ANNOTATION,
    FILE,
    PACK_TYPE,
    files_of,
    is_pack,
    pack_layers,
    published,
    unpacking,
    written,
)
from tritonpm.registry.oci_repository import OciRepository, described, descriptor
from tritonpm.registry.transfer import Bounds, DownloadTask, download, fetch_beside, settled

if TYPE_CHECKING:
    from tritonpm.core.types import Package
    from tritonpm.registry.oci_repository import OciManifest

PACKAGE_TYPE = "application/vnd.tritonpm.package.v1+zip"
SIGNATURE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PREDICATE = "dev.sigstore.bundle.predicateType"  # of a bundle's manifest, as cosign writes it
_PREDICATES = {SIGNATURE: "https://model_signing/signature/v1.0", ATTESTATION: PREDICATE_TYPE}
_ANOTHER = "choose another tag, or use --force"
_PUSH_SILENCE = 300.0  # seconds: a registry checks what it was given before it answers


def fetch(url: str, folder: Path, task: DownloadTask) -> Path:
    """The package that the manifest at `url` names. Raises RegistryError, NotFoundError, UsageError."""
    where = shown(url)
    with settled(where):
        at = OciRepository(url, task.bounds)
        manifest, digest = at.manifest()
        package = _digest_there(manifest)
        if package == "?":
            raise RegistryError("holds no package of tritonpm", where=where, do="check the address")
        if task.digest not in ("", package) and package:
            raise RegistryError(
                f"holds {package}, and {task.digest} was asked for", where=where, do="ask who published it"
            )
        blobs = _beside(at, manifest, digest)
    target = folder / f"{at.name}.zip"
    _fetch_beside(at, blobs, target, task)
    if is_pack(manifest):
        return _fetched_pack(at, manifest, target, replace(task, digest=task.digest or package))
    return download(at.blob(package), target, where, replace(task, digest=package))


def push(file: Path, url: str, *, force: bool = False) -> Pushed:
    """Put a file and what lies beside it, what names them last. Raises RegistryError where something else is there."""
    at, digest = _opened(url, file, force=force)
    signature = beside(file, SIGNATURE)
    with settled(at.where):
        layers = [at.upload(file, PACKAGE_TYPE, digest)]
        layers += [at.upload(signature, SIGNATURE_TYPE, digest_of(signature))] if signature.is_file() else []
        named = _named(at, file, {"artifactType": PACKAGE_TYPE, "layers": layers}, (ATTESTATION,))
    return Pushed.of(f"{url}@{named}", digest, file)


def push_modelpack(file: Path, url: str, package: Package, *, force: bool = False) -> Pushed:
    """Put a package, whose uncompressed .zip is `file`, and its signature as what refers to it. Raises as `push`."""
    at, digest = _opened(url, file, force=force)
    pack = published(file, digest, package)
    with settled(at.where):
        for layer in pack.layers:
            with layer.opened() as stream:
                at.put_blob(stream, layer.digest, layer.size)
        at.put_blob(pack.config, digest_of_bytes(pack.config), len(pack.config))
        manifest = {
            "artifactType": PACK_TYPE, "annotations": pack.annotations,
            "config": descriptor(CONFIG_TYPE, digest_of_bytes(pack.config), len(pack.config), {}),
            "layers": [descriptor(layer.kind, layer.digest, layer.size, layer.annotations) for layer in pack.layers],
        }  # fmt: skip
        named = _named(at, file, manifest, BESIDE)
    return Pushed.of(f"{url}@{named}", digest, file)


def push_image(layers: Sequence[Path], url: str, labels: Mapping[str, str], *, force: bool = False) -> Pushed:
    """Put a model repository as an image of these layers. Raises RegistryError where something else is there."""
    where, told = shown(url), config(layers, labels)
    with settled(where):
        at = _to_write(url)
        manifest = {
            "annotations": dict(labels),
            "config": descriptor(IMAGE_CONFIG_TYPE, digest_of_bytes(told), len(told), {}),
            "layers": [descriptor(LAYER_TYPE, digest_of(layer), layer.stat().st_size, {}) for layer in layers],
        }
        _, named = described(manifest)
        if not force and _there(at) not in (None, named["digest"]):
            raise RegistryError("something else is there", where=where, do=_ANOTHER)
        for layer in layers:
            at.upload(layer, LAYER_TYPE, digest_of(layer))
        at.put_blob(told, digest_of_bytes(told), len(told))
        at.put(manifest)
    return Pushed(f"{url}@{named['digest']}", str(named["digest"]), signed=False)


def _there(at: OciRepository) -> str | None:
    try:
        return at.manifest()[1]
    except NotFoundError:
        return None


def _to_write(url: str) -> OciRepository:
    at = OciRepository(url, Bounds(silence=_PUSH_SILENCE))
    if at.container.digest:
        raise UsageError("a digest cannot be pushed to", where=shown(url), do="push to a tag")
    return at


def _named(at: OciRepository, file: Path, manifest: Mapping[str, object], kinds: Iterable[str]) -> str:
    """Put what lies beside a file as what refers to its manifest, then that; its digest. Raises RegistryError."""
    for kind in kinds:
        if beside(file, kind).is_file():
            at.attach(beside(file, kind), SIGNATURE_TYPE, described(manifest)[1], {_PREDICATE: _PREDICATES[kind]})
    return str(at.put(manifest)["digest"])


def _opened(url: str, file: Path, *, force: bool) -> tuple[OciRepository, str]:
    """Where a file may be put, and its digest. Raises UsageError, RegistryError where something else is there."""
    where, digest = shown(url), digest_of(file)
    with settled(where):
        at = _to_write(url)
        try:
            there = _digest_there(at.manifest()[0])
        except NotFoundError:
            there = digest
        if not force and there != digest:
            raise RegistryError("something else is there", where=where, do=_ANOTHER)
    return at, digest


def _digest_there(manifest: OciManifest) -> str:
    """The digest of the package that a manifest names, "" of a ModelPack that does not say, "?" of anything else."""
    if is_pack(manifest):
        return manifest.annotations.get(DIGEST_ANNOTATION, "")
    package = manifest.layer(PACKAGE_TYPE)
    return package.digest if package else "?"


def _beside(at: OciRepository, manifest: OciManifest, digest: str) -> list[tuple[str, str]]:
    """What lies beside a package, as (kind, digest of its blob); of the signatures the newest."""
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in BESIDE}
    for referrer in at.referrers(digest, SIGNATURE_TYPE):
        for kind, predicate in _PREDICATES.items():
            layer = referrer.layer(SIGNATURE_TYPE)
            if layer and referrer.annotations.get(_PREDICATE) == predicate:
                found[kind].append((kind, layer.digest))
    own = manifest.layer(SIGNATURE_TYPE)
    signatures = [(SIGNATURE, own.digest)] if own else found[SIGNATURE][-1:]
    return signatures + found[ATTESTATION]


def _fetch_beside(at: OciRepository, blobs: list[tuple[str, str]], target: Path, task: DownloadTask) -> None:
    """The signature, and the attestations as one a line, beside `target`."""
    lines: dict[str, list[bytes]] = {kind: [] for kind in BESIDE}
    for kind, digest in blobs:
        fetch_beside(at.blob(digest), target, kind, at.where, task)
        if beside(target, kind).is_file():  # the registry still had what it names
            lines[kind].append(beside(target, kind).read_bytes().replace(b"\n", b" "))
    for kind, found in lines.items():
        beside(target, kind).unlink(missing_ok=True)
        if found:
            beside(target, kind).write_bytes(b"\n".join(found))


def _fetched_pack(at: OciRepository, manifest: OciManifest, target: Path, task: DownloadTask) -> Path:
    """The .zip of a ModelPack's files; what has come of them stays where it breaks off, for the next attempt."""
    if task.digest and target.is_file() and digest_of(target) == task.digest:
        return target
    parts = target.with_name(f".{target.stem}.parts")
    staging = unpacking(parts / "unpacked", at.where, task.bounds.size)
    shutil.rmtree(staging.root, ignore_errors=True)
    done = 0
    places: dict[str, Path] = {}
    for layer in pack_layers(manifest, staging):
        own = DownloadTask(layer.digest, replace(task.bounds, size=layer.size), partial(_further, task, done))
        where = f"{at.where}: {layer.annotations.get(FILE) or layer.digest}"
        part = download(at.blob(layer.digest), parts / layer.digest.replace(":", "-"), where, own)
        try:
            places |= files_of(layer, part, staging)
        except PackageError:  # it would be refused the next time, too
            shutil.rmtree(parts)
            raise
        done += layer.size
    written(places, target)
    shutil.rmtree(parts)
    if task.digest and (digest := digest_of(target)) != task.digest:
        target.unlink()
        raise RegistryError(f"is {digest}, and {task.digest} was asked for", where=at.where, do="ask who published it")
    return target


def _further(task: DownloadTask, before: int, done: int, _: int) -> None:
    """Report of one file of several, `before` bytes of which are there."""
    task.report(before + done, 0)
