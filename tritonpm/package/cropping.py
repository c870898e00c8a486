"""The stages of a package that cut out what another finds: their models are written here, into the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tritonpm.core.errors import ManifestError, PackageError
from tritonpm.core.types import Format, Signature, Stage, Task
from tritonpm.meaning.crops import Made, Neighbour, decode_of, made
from tritonpm.meaning.spec import crop
from tritonpm.meaning.stages import of_stage
from tritonpm.package import manifest as manifests
from tritonpm.package.manifest import StageEntry
from tritonpm.package.signature import read_signature
from tritonpm.package.tree import Tree
from tritonpm.settings.settings import Settings

WRITER = "tritonpm"  # who says what such a stage's outputs are


def with_crops(entries: Sequence[StageEntry], whole: Mapping[str, Stage], tree: Tree) -> tuple[Stage, ...]:
    """All stages in order, `whole` being those that bring a model. Raises ManifestError: what cannot be cut out."""
    stages = dict(whole)
    for index, entry in enumerate(entries):
        if entry.crop is None:
            continue
        of = entry.crop.of or entries[index - 1].name
        into = entry.crop.into or entries[index + 1].name
        said = entry.crop.model_dump(mode="json", exclude_unset=True)
        try:
            for end in (of, into):
                if end not in whole:
                    raise ValueError(f"crop stands between two models, and {end} is none")
            finder, taker = (Neighbour(name, whole[name].signature, of_stage(whole[name])) for name in (of, into))
            written = made(entry.name, crop(said), finder, taker)
        except ValueError as error:
            where = f"{tree.where}: {manifests.FILE}"
            raise ManifestError([(f"stages[{index}].crop", str(error))], where=where) from None
        stages[entry.name] = _stage(entry, said, written, dict(whole[of].bindings), finder.taken.name, tree)
        taking = stages[into]
        rows = {"max_batch_size": crop(said).most} if crop(said).most > Settings().max_batch_size else {}
        bindings = tuple(sorted({**written.into, **dict(taking.bindings)}.items()))
        stages[into] = replace(taking, bindings=bindings, serving={**rows, **taking.serving})
    return tuple(stages[entry.name] for entry in entries)


def _require_ours(path: str, signature: Signature, tree: Tree) -> None:
    """Raise PackageError where a model that came with the package is not what an export of ours has written."""
    _, read = read_signature(tree.root / path, Format.ONNX)
    if (read.inputs, read.outputs) != (signature.inputs, signature.outputs):
        raise PackageError("has other tensors than its `crop` asks for", where=f"{tree.where}: {path}",
                           do="leave `model` out: tritonpm writes it")  # fmt: skip


def _stage(
    entry: StageEntry, said: Mapping[str, object], written: Made, bound: Mapping[str, str], picture: str, tree: Tree
) -> Stage:
    """The stage; its picture comes from where the detector's does."""
    path = entry.model or f"crops/{entry.name}.onnx"
    if entry.model is None:
        tree.add(path, written.model, "model")
    else:
        _require_ours(path, written.signature, tree)
    bindings = {**written.bindings, picture: bound.get(picture, picture), **entry.inputs}
    return Stage(
        entry.name, Task.POSTPROCESSING, Format.ONNX, path, (path,), written.signature,
        bindings=tuple(sorted(bindings.items())), outputs=tuple(sorted(entry.outputs.items())),
        serving=entry.serving.model_dump(exclude_unset=True),
        crop=said, inferred={WRITER: {"decode": decode_of(written.signature)}},
    )  # fmt: skip
