"""From a staged tree to a Package."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePosixPath

from tritonpm.core.errors import ManifestError, PackageError
from tritonpm.core.files import digest_of_bytes
from tritonpm.core.types import File, Package, Sample, Signature, Stage, Values
from tritonpm.core.units import human
from tritonpm.meaning.spec import condition
from tritonpm.meaning.stages import of_stage
from tritonpm.meaning.verdict import ANOMALOUS, NORMAL
from tritonpm.package import manifest as manifests
from tritonpm.package.adopted import adopt, holds_repository, looks_adopted, name_of, newest_model
from tritonpm.package.code import RUNNING_FORMATS, allow, code_in_file, code_in_parameters
from tritonpm.package.cropping import with_crops
from tritonpm.package.external import inspected
from tritonpm.package.inferring import with_inferred
from tritonpm.package.labels import read_labels
from tritonpm.package.limits import Limits
from tritonpm.package.manifest import Manifest, SampleEntry, StageEntry, ValuesEntry
from tritonpm.package.paths import NAME_RULE, is_name, name_from, require_name
from tritonpm.package.samples import check as check_sample
from tritonpm.package.signature import SAVED_MODEL, SPEAKING, format_of, inspect_model
from tritonpm.package.tree import Tree

_INFERRED_STAGE = "model"
_INFERRED_VERSION = "0"


def assemble(tree: Tree, name: str | None, allow_code: bool, limits: Limits) -> Package:
    """The package that the tree holds. Raises PackageError and its kinds."""
    if name is not None:
        require_name(name)
    own = manifests.FILE in tree.files
    manifest = _manifest(tree, limits) if own else _inferred(tree, name, allow_code, limits)
    require_name(name or manifest.name)
    whole = {entry.name: _stage(entry, tree, allow_code, limits) for entry in manifest.stages if entry.crop is None}
    stages = with_crops(manifest.stages, whole, tree)
    samples = _samples(manifest.samples, tree, None)
    card = {manifest.model_card} if manifest.model_card else set()
    tree.forget({path for stage in stages for path in _used(stage)} | _sampled(samples) | card)
    exporter = manifest.exporter
    package = Package(
        name=name or manifest.name,
        version=manifest.version,
        exporter=exporter.name if exporter else "",
        exporter_version=exporter.version if exporter else "",
        stages=stages,
        files=tuple(file for path, file in sorted(tree.files.items()) if path != manifests.FILE),
        digest="",
        samples=samples,
        verdict=_verdict(manifest, stages, tree),
        license=manifest.license,
        model_card=manifest.model_card,
    )
    return replace(package, digest=digest(package))


def _verdict(manifest: Manifest, stages: tuple[Stage, ...], tree: Tree) -> dict[str, dict[str, object]]:
    """The conditions. Raises ManifestError: one that cannot be, or that counts what no stage has a name for."""
    names = {label for stage in stages for label in stage.signature.labels}
    conditions = {name: entry.model_dump(mode="json", exclude_unset=True) for name, entry in manifest.verdict.items()}
    for name, said in conditions.items():
        where = f"{tree.where}: {manifests.FILE}"
        try:
            counted = condition(said)
        except ValueError as error:
            raise ManifestError([(f"verdict.{name}", str(error))], where=where) from None
        for word in (*counted.what, *counted.said):
            if names and word not in {*names, ANOMALOUS, NORMAL}:
                problem = f"no stage has a class {word!r}, but {', '.join(sorted(names))}"
                raise ManifestError([(f"verdict.{name}", problem)], where=where)
    return conditions


def _used(stage: Stage) -> set[str]:
    return {*stage.files, *_sampled(stage.samples), *([stage.labels] if stage.labels else [])}


def _sampled(samples: tuple[Sample, ...]) -> set[str]:
    return {path for sample in samples for path in (sample.inputs, sample.outputs) if path}


def digest(package: Package) -> str:
    """Of everything but the name, so that the same content under another name is known again."""
    canonical = json.dumps(manifests.of(package, named=False), sort_keys=True, separators=(",", ":"))
    return digest_of_bytes(canonical.encode())


def _manifest(tree: Tree, limits: Limits) -> Manifest:
    where = f"{tree.where}: {manifests.FILE}"
    if tree.files[manifests.FILE].size > limits.manifest:
        raise ManifestError([("", f"is longer than {human(limits.manifest)}")], where=where)
    manifest = manifests.parse((tree.root / manifests.FILE).read_bytes(), where, limits)
    files = {path: file for path, file in tree.files.items() if path != manifests.FILE}
    problems = [*_absent(manifest, files), *_differing(manifest, files)]
    if problems:
        raise ManifestError(problems, where=where)
    return manifest


def _absent(manifest: Manifest, files: dict[str, File]) -> list[tuple[str, str]]:
    """The paths in the manifest that the package does not hold."""
    named: list[tuple[str, str | None]] = [("model_card", manifest.model_card)]
    for index, stage in enumerate(manifest.stages):
        labels = stage.labels if isinstance(stage.labels, str) else None
        tokenizer = stage.preprocess.tokenizer or None
        named += [(f"stages[{index}].model", stage.model), (f"stages[{index}].labels", labels)]
        named += [(f"stages[{index}].preprocess.tokenizer", tokenizer)]
        named += _sample_paths(f"stages[{index}].samples", stage.samples)
    named += _sample_paths("samples", manifest.samples)
    return [(place, f"{path!r} is not in the package") for place, path in named if path and path not in files]


def _sample_paths(place: str, samples: list[SampleEntry]) -> list[tuple[str, str | None]]:
    return [(f"{place}[{i}].{side}", getattr(s, side)) for i, s in enumerate(samples) for side in ("inputs", "outputs")]


def _differing(manifest: Manifest, files: dict[str, File]) -> list[tuple[str, str]]:
    """Where `files` is given, it must be exactly what the package holds."""
    if manifest.files is None:
        return []
    listed = manifest.files
    missing = [(f"files.{path}", f"{path!r} is not in the package") for path in listed if path not in files]
    unlisted = [("files", f"{path!r} is in the package and not listed") for path in files if path not in listed]
    wrong = [
        (f"files.{path}", f"{path!r} is {files[path].digest} in the package")
        for path in listed
        if path in files and files[path].digest != listed[path]
    ]
    return [*missing, *unlisted, *wrong]


def _inferred(tree: Tree, name: str | None, allow_code: bool, limits: Limits) -> Manifest:
    """The manifest that a bare model or a Triton model folder would have."""
    stage = {"name": _INFERRED_STAGE, "task": "other"}
    models = [path for path in tree.files if format_of(path) and "/" not in path]
    if looks_adopted(tree):
        own = name_of(tree) or tree.stem
        named = name or (own if is_name(own) else "")
        kept = tree.root / "config.pbtxt"
        stage |= {"folder": "."} if kept.is_file() else {"model": newest_model(tree, "", allow_code, limits)}
    elif holds_repository(tree):
        raise PackageError(
            "is a whole model repository",
            where=tree.where,
            do="adopt all its models with `tritonpm adopt`, or import one of its folders",
        )
    elif len(models) == 1:
        named = name or name_from(tree.stem)
        stage |= {"model": models[0]}
    elif SAVED_MODEL in tree.files:
        raise PackageError("nothing here serves saved-model as it is", where=tree.where,
                           do="unpack it and import the folder, which is converted on its way in")  # fmt: skip
    else:
        raise PackageError("holds neither package.yaml, nor one model, nor a Triton model folder", where=tree.where,
                           do="add a package.yaml")  # fmt: skip
    if not named:
        raise PackageError(f"{tree.stem!r} is not a package name", where=tree.where, do=f"give --name: {NAME_RULE}")
    document = {"schema": 1, "name": named, "version": _INFERRED_VERSION, "stages": [stage]}
    return Manifest.model_validate_json(json.dumps(document))


def _stage(entry: StageEntry, tree: Tree, allow_code: bool, limits: Limits) -> Stage:
    serving = entry.serving.model_dump(exclude_unset=True)
    for reason in code_in_parameters(serving.get("parameters", {})):
        allow(f"suggests the {reason}, which is code,", f"{tree.where}: stage {entry.name}", allow_code)
    stage = _adopted(entry, tree, allow_code, limits) if entry.folder else _modelled(entry, tree, allow_code, limits)
    labels = _labels(entry, tree, limits)
    if labels:
        allow(code_in_file(labels, tree.root / labels), f"{tree.where}: {labels}", allow_code)
    texts = read_labels(tree.root / labels, f"{tree.where}: {labels}", limits) if labels else stage.signature.labels
    stage = replace(
        stage,
        signature=replace(stage.signature, labels=texts),
        labels=labels,
        bindings=tuple(sorted(entry.inputs.items())),
        outputs=tuple(sorted(entry.outputs.items())),
        serving=serving,
        samples=_samples(entry.samples, tree, stage.signature),
        max_instances=entry.max_instances,
        preprocess=entry.preprocess.model_dump(mode="json", exclude_unset=True),
        decode=entry.decode.model_dump(mode="json", exclude_unset=True),
        values={name: _values(own) for name, own in entry.values.items()},
    )
    try:
        of_stage(stage)
    except ValueError as error:
        raise ManifestError([(f"stage {entry.name}", str(error))], where=f"{tree.where}: {manifests.FILE}") from None
    return stage


def _values(entry: ValuesEntry) -> Values:
    low, high = entry.range or (None, None)
    return Values(low, high, tuple(entry.vocabulary or ()))


def _adopted(entry: StageEntry, tree: Tree, allow_code: bool, limits: Limits) -> Stage:
    root = "" if entry.folder == "." else f"{entry.folder}/"
    adopted = adopt(tree, root, allow_code, limits)
    stage = Stage(
        entry.name, entry.task, adopted.format, adopted.model, adopted.files, adopted.signature,
        config=adopted.config, root=root.removesuffix("/"),
    )  # fmt: skip
    if adopted.format not in SPEAKING:
        return stage
    model = inspect_model(tree.root / adopted.model, f"{tree.where}: {adopted.model}", limits, adopted.format)
    return with_inferred(replace(stage, needs=model.needs), model, tree.root, limits)


def _modelled(entry: StageEntry, tree: Tree, allow_code: bool, limits: Limits) -> Stage:
    path = PurePosixPath(str(entry.model))
    where = f"{tree.where}: {path}"
    model = inspected(tree, str(path), allow_code, limits)
    allow(RUNNING_FORMATS.get(model.format, ""), where, allow_code)
    signature = _signature(entry, model.signature, where)
    files = tuple(sorted(str(path.parent / file) for file in model.files))
    stage = Stage(entry.name, entry.task, model.format, str(path), files, signature, needs=model.needs)
    return with_inferred(stage, model, tree.root, limits)


def _signature(entry: StageEntry, read: Signature | None, where: str) -> Signature:
    if read is None and entry.signature is None:
        raise PackageError(
            "does not describe its tensors", where=where, do="give them as `signature` of its stage in a package.yaml"
        )
    if read is not None and entry.signature is not None:
        raise PackageError("describes its tensors itself", where=where, do="remove `signature` from its stage")
    return read or manifests.declared(entry.signature)  # type: ignore[arg-type]


def _labels(entry: StageEntry, tree: Tree, limits: Limits) -> str | None:
    """The stage's labels file; names given in the manifest itself become one, so that they travel as every other."""
    if not isinstance(entry.labels, list):
        return entry.labels
    path = f"labels/{entry.name}.txt"
    tree.add(path, "".join(f"{label}\n" for label in entry.labels).encode(), "labels")
    return path


def _samples(entries: list[SampleEntry], tree: Tree, signature: Signature | None) -> tuple[Sample, ...]:
    for entry in entries:
        check_sample(tree.root, entry.inputs, signature.inputs if signature else None, tree.where)
        if entry.outputs:
            check_sample(tree.root, entry.outputs, signature.outputs if signature else None, tree.where)
    return tuple(Sample(entry.inputs, entry.outputs) for entry in entries)
