"""`serve: image` and `serve: encoded`: a package with a front, as what is rendered of it: pictures in, objects out.

Before the package's first stage comes one that makes its inputs of pictures, behind the last one that says what its
outputs hold. Both run on the CPU by ONNX Runtime, whatever serves the model between them. Encoded pictures are decoded
before that by a program of ours, in Triton's Python backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.graph import OPSET
from tritonpm.convert.front.joined import joined, opset_of
from tritonpm.convert.front.objects import least_opset
from tritonpm.convert.front.pieces import MODEL, PLACES
from tritonpm.convert.front.pieces import objects as objects_piece
from tritonpm.convert.front.pieces import pictures as pictures_piece
from tritonpm.core.errors import RenderError
from tritonpm.core.files import digest_of_bytes
from tritonpm.core.types import Agreement, BatchAxis, File, Format, Optimised, Package, Signature, Stage, Task
from tritonpm.core.units import GIB
from tritonpm.operations.artefacts import kept_artefact
from tritonpm.operations.batch_axes import Place
from tritonpm.operations.front_crops import cut_from_pictures, cuts_out
from tritonpm.operations.front_encoded import PIXELS, decoder, parameters, resizes, takes_placed, with_decoded
from tritonpm.operations.meanings import meaning_of
from tritonpm.package import members
from tritonpm.repository.cascade import wire
from tritonpm.settings.backend import backend_of
from tritonpm.settings.settings import ENCODED, Settings

if TYPE_CHECKING:
    from tritonpm.convert.front.pieces import FrontModel
    from tritonpm.meaning.spec import Decode, Preprocess
    from tritonpm.operations.context import Context

PICTURES, OBJECTS = "pictures", "objects"
_VERSION = b"1"  # of how a model and its front are joined
FOLDER = "front\0"  # a path that no package can have of its own
# Of all that is put around: it is small, and takes pictures as they come, of whatever size.
_APART: Mapping[str, object] = {
    "device": "cpu", "gpus": (), "group_per_gpu": False, "optimizer": "none", "precision": "FP32", "accelerators": (),
    "cuda_graphs": False, "dynamic_batching": False, "preferred_batch_sizes": (), "warmup": False, "parameters": {},
}  # fmt: skip
_OWN = {
    **_APART,
    "backend": "onnxruntime",
    "parameters": {"intra_op_thread_count": "1"},  # many small operators, between which other threads would wait
}
_SPINNING = "session.intra_op.allow_spinning"  # ONNX Runtime's threads, waiting for more
# What decodes is handed all requests that wait, and decodes them side by side, each with an answer of its own.
_PYTHON = {**_APART, "backend": "python", "dynamic_batching": True, "queue_delay_us": 0}


@dataclass(frozen=True)
class Fronted:
    """What is rendered in place of a package."""

    package: Package
    settings: Settings
    axes: Mapping[str, BatchAxis]
    optimised: Mapping[str, Optimised]


def fronted(
    context: Context, package: Package, settings: Settings, axes: Mapping[str, BatchAxis],
    optimised: Mapping[str, Optimised], place: Place,
) -> Fronted:  # fmt: skip
    """The package with its front, where the settings ask for one. Raises RenderError where it can have none."""
    plain = Fronted(package, settings, axes, optimised)
    if not settings.takes_pictures(package.stages[0].name):
        return plain
    try:
        one = _one_model(context, plain, place)
        whole = replace(plain, optimised={**optimised, package.stages[0].name: one}) if one else _around(context, plain)
    except ConversionError as error:
        raise RenderError(error.what, where=package.name, do=error.do) from None
    return _decoding(context, whole, plain) if _takes_files(plain) else whole


def _takes_files(plain: Fronted) -> bool:
    return plain.settings.for_stage(plain.package.stages[0].name).serve == ENCODED


def _decoding(context: Context, whole: Fronted, plain: Fronted) -> Fronted:
    """With what decodes before all else; the first stage takes its pixels then."""
    package, first = whole.package, whole.package.stages[0]
    name = _free(PIXELS, {stage.name for stage in package.stages})
    file = _kept(context, members.FILE, members.source(members.ENCODED))
    axis = _axis(plain.axes[plain.package.stages[0].name])
    spec = _known(plain)[0] if takes_placed(_served(first, whole.axes, whole.optimised)) else None
    decoding = decoder(name, file, "batch" if axis.kind != "none" else 1, spec)
    own = {**_PYTHON, "parameters": parameters(spec) if spec else {}}
    stages = (decoding, *(with_decoded(one, first, decoding) for one in package.stages))
    return replace(
        whole,
        package=replace(package, stages=stages, files=(*package.files, file)),
        settings=replace(whole.settings, stages={**whole.settings.stages, name: own}),
        axes={**whole.axes, name: axis},
    )


def _one_model(context: Context, plain: Fronted, place: Place) -> Optimised | None:
    """The model and its front as one; None where they cannot be, or shall not be.

    On a GPU the front stays apart: on the CPU, and the model gets pictures of every size in one batch. So it does where
    the model has several threads, for which the front's many small operators would only wait.
    """
    package, stage = plain.package, plain.package.stages[0]
    settings, made = plain.settings.for_stage(stage.name), plain.optimised.get(stage.name)
    accelerated = bool(settings.accelerators) or (made is not None and not made.files)
    if package.cascade or settings.on_gpu or accelerated or settings.threads != 1:
        return None
    if backend_of(stage, settings, made) != "onnxruntime":
        return None
    axis, file = plain.axes[stage.name], package.file(stage.model)
    if made or axis.artefact:
        path = context.blobs.path(made.files[0].digest if made else str(axis.artefact))
    else:
        path = place(file)
    if len(made.files if made else stage.files) > 1 or path.stat().st_size > GIB or not (opset := opset_of(path)):
        return None
    if opset < least_opset(_known(plain)[1].kind):
        return None
    behind = _behind(plain, opset)
    before = _before(plain, behind, opset)
    source = made.files[0].digest if made else axis.artefact or file.digest
    key = digest_of_bytes(b"".join((_VERSION, source.encode(), before.model, behind.model)))
    if kept := kept_artefact(context, key):
        return kept
    signature = Signature(before.signature.inputs, behind.signature.outputs, behind.signature.labels)
    whole = _kept(context, f"{package.name}.onnx", joined(path, before, behind))
    made = made or Optimised("none", "FP32", Format.ONNX, signature, agreement=Agreement("verified"))
    one = replace(made, signature=signature, model=whole.path, files=(whole,))
    context.catalogue.artefacts.put(key, file.digest, one)
    return one


def _around(context: Context, plain: Fronted) -> Fronted:
    """A cascade of the front's models with the package's own between them."""
    package, settings, axes, optimised = plain.package, plain.settings, plain.axes, plain.optimised
    first, last = package.stages[0], package.stages[-1]
    taken = {stage.name for stage in package.stages}
    pictures, objects = _free(PICTURES, taken), _free(OBJECTS, taken)
    behind = None if cuts_out(package) else _behind(plain)
    before = _before(plain, behind)
    pieces = {pictures: before}
    stages = [_stage(pictures, before, Task.PREPROCESSING, {}), *_bound(package, pictures, before)]
    if behind is None:  # the cascade itself says what is in a picture, and in its pixels
        signatures = {stage.name: _served(stage, axes, optimised) for stage in package.stages}
        cutting = cut_from_pictures(package, settings, signatures, stages, (pictures, FOLDER))
        stages = [cutting[one.name][0] if one.name in cutting else one for one in stages]
        models = {name: piece.model for name, (_, piece) in cutting.items()}
    else:
        pieces[objects] = behind
        sources = {
            MODEL + tensor.name: f"{last.name}.{tensor.name}" for tensor in _served(last, axes, optimised).outputs
        }
        sources[PLACES] = f"{pictures}.{PLACES}"
        stages.append(_stage(objects, behind, Task.POSTPROCESSING, sources))
        models = {}
    models |= {name: piece.model for name, piece in pieces.items()}
    files = [_kept(context, f"{name}.onnx", model) for name, model in models.items()]
    own = {pictures: first.name, objects: last.name}
    return replace(
        plain,
        package=replace(package, stages=tuple(stages), files=(*package.files, *files)),
        settings=replace(settings, stages={**_calm(plain), **dict.fromkeys(pieces, _OWN)}),
        axes={**axes, **{name: _axis(axes[own[name]]) for name in pieces}},
    )


def _calm(plain: Fronted) -> dict[str, Mapping[str, object]]:
    """The settings of the package's own stages: on a CPU they do not spin while another member has work to do."""
    stages = dict(plain.settings.stages)
    for stage in plain.package.stages:
        settings = plain.settings.for_stage(stage.name)
        if not settings.on_gpu and backend_of(stage, settings, plain.optimised.get(stage.name)) == "onnxruntime":
            stages[stage.name] = {**stages.get(stage.name, {}), "parameters": {_SPINNING: "0", **settings.parameters}}
    return stages


def _before(plain: Fronted, behind: FrontModel | None, opset: int = OPSET) -> FrontModel:
    """What makes the first stage's inputs of pictures. Raises ConversionError where nothing says how."""
    first = plain.package.stages[0]
    preprocess, _ = _known(plain)
    return pictures_piece(
        preprocess, _served(first, plain.axes, plain.optimised), batched=plain.axes[first.name].kind != "none",
        placed=_takes_files(plain) and behind is not None and resizes(plain.package, preprocess, behind.signature),
        opset=opset,
    )  # fmt: skip


def _behind(plain: Fronted, opset: int = OPSET) -> FrontModel:
    """What says what the last stage's outputs hold. Raises ConversionError where it cannot be said."""
    last, (_, decode) = plain.package.stages[-1], _known(plain)
    return objects_piece(
        decode, _served(last, plain.axes, plain.optimised), meaning_of(plain.package, plain.settings).labels,
        batched=plain.axes[last.name].kind != "none", raw=plain.settings.raw_outputs, opset=opset,
    )  # fmt: skip


def _known(plain: Fronted) -> tuple[Preprocess, Decode]:
    meaning = meaning_of(plain.package, plain.settings)
    if meaning.preprocess is None or meaning.decode is None:
        raise ConversionError(
            "does not say what its tensors mean, so it can take no pictures",
            do="declare its preprocess and decode in package.yaml or with `tritonpm set`",
        )
    return meaning.preprocess, meaning.decode


def _served(stage: Stage, axes: Mapping[str, BatchAxis], optimised: Mapping[str, Optimised]) -> Signature:
    made = optimised.get(stage.name)
    return made.signature if made and made.files else axes[stage.name].signature or stage.signature


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)


def _kept(context: Context, name: str, model: bytes) -> File:
    """A model as a blob, as a file of the package."""
    digest = digest_of_bytes(model)
    if not context.blobs.has(digest):
        with context.workspace.scratch("front") as folder:
            (folder / "model.onnx").write_bytes(model)
            context.blobs.put(folder / "model.onnx", digest, move=True)
    return File(f"{FOLDER}{name}", digest, len(model))


def _stage(name: str, piece: FrontModel, task: Task, sources: Mapping[str, str]) -> Stage:
    bound = tuple((tensor.name, sources[tensor.name]) for tensor in piece.signature.inputs if sources)
    path = f"{FOLDER}{name}.onnx"
    return Stage(name, task, Format.ONNX, path, (path,), piece.signature, bindings=bound)


def _bound(package: Package, pictures: str, before: FrontModel) -> tuple[Stage, ...]:
    """The package's own stages: what they take from outside comes from the pictures, where those give it."""
    given = {tensor.name for tensor in before.signature.outputs}
    sources: dict[str, list[tuple[str, str]]] = {stage.name: [] for stage in package.stages}
    for edge in wire(package).edges:
        source = f"{edge.source_stage}.{edge.source_tensor}" if edge.source_stage else edge.source_tensor
        if not edge.source_stage and MODEL + edge.source_tensor in given:
            source = f"{pictures}.{MODEL}{edge.source_tensor}"
        sources[edge.stage].append((edge.tensor, source))
    return tuple(replace(stage, bindings=tuple(sources[stage.name])) for stage in package.stages)


def _axis(model: BatchAxis) -> BatchAxis:
    """Of a piece: it has rows where the model has."""
    if model.kind == "none":
        return BatchAxis("none", model.reason)
    return BatchAxis("proved", "every picture is handled for itself")
