"""From a staged tree to a Package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import PurePosixPath

from tritonpm.data import Package, Sample, Stage
from tritonpm.errors import ManifestError, PackageError, UsageError
from tritonpm.package import manifest as manifests
from tritonpm.package.limits import Limits
from tritonpm.package.manifest import Manifest, SampleEntry, StageEntry
from tritonpm.package.paths import NAME_RULE, is_name, name_from
from tritonpm.package.signature import format_of, inspect_model
from tritonpm.package.tree import Tree


def assemble(tree: Tree, name: str | None, allow_code: bool, limits: Limits) -> Package:
    """The package that the tree holds. Raises PackageError and its kinds."""
    if name is not None and not is_name(name):
        raise UsageError(f"{name!r} is no package name", do=f"use {NAME_RULE}")
    if manifests.FILE in tree.files:
        manifest = _manifest(tree, limits)
    else:
        manifest = _inferred(tree, name)
    files = tuple(file for path, file in sorted(tree.files.items()) if path != manifests.FILE)
    stages = tuple(_stage(entry, tree, limits) for entry in manifest.stages)
    exporter = manifest.exporter
    package = Package(
        name=name or manifest.name,
        version=manifest.version,
        exporter=exporter.name if exporter else "",
        exporter_version=exporter.version if exporter else "",
        stages=stages,
        files=files,
        digest="",
        samples=_samples(manifest.samples),
    )
    return replace(package, digest=digest(package))


def digest(package: Package) -> str:
    """Of everything but the name, so that the same content under another name is known again."""
    canonical = json.dumps(manifests.of(package, named=False), sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _manifest(tree: Tree, limits: Limits) -> Manifest:
    if tree.files[manifests.FILE].size > limits.manifest:
        raise ManifestError([("", f"is longer than {limits.manifest} bytes")])
    manifest = manifests.parse((tree.root / manifests.FILE).read_bytes(), f"{tree.where}: {manifests.FILE}", limits)
    return manifest


def _inferred(tree: Tree, name: str | None) -> Manifest:
    models = [path for path in tree.files if format_of(path) and "/" not in path]
    if len(models) != 1:
        raise PackageError("holds neither package.yaml nor a model", where=tree.where, do="add a package.yaml")
    name = name or name_from(tree.stem)
    entry = StageEntry(name="model", model=models[0])
    return Manifest(schema=1, name=name, version="0", stages=[entry])


def _stage(entry: StageEntry, tree: Tree, limits: Limits) -> Stage:
    assert entry.model
    path = PurePosixPath(entry.model)
    model = inspect_model(tree.root / path, f"{tree.where}: {path}", limits)
    assert model.signature
    return Stage(
        name=entry.name,
        task=entry.task,
        format=model.format,
        model=entry.model,
        files=tuple(sorted(str(path.parent / file) for file in model.files)),
        signature=model.signature,
        bindings=tuple(sorted(entry.inputs.items())),
        serving=entry.serving.model_dump(exclude_unset=True),
        samples=_samples(entry.samples),
    )


def _samples(entries: list[SampleEntry]) -> tuple[Sample, ...]:
    return tuple(Sample(entry.inputs, entry.outputs) for entry in entries)
