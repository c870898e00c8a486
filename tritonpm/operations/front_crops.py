"""Of a cascade that takes pictures: what its detectors find is cut out of the picture as it was handed in.

That is sharper than the detector's input, in which a large picture is small; boxes are in the picture's pixels, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.pictures import GEOMETRY
from tritonpm.convert.front.pieces import PLACES
from tritonpm.core.types import Package, Signature, Stage, Tensor
from tritonpm.meaning import served
from tritonpm.meaning.crops import Made, Neighbour, Original, made
from tritonpm.meaning.spec import PLACELESS, crop
from tritonpm.meaning.stages import of_stage
from tritonpm.operations.meanings import meaning_of
from tritonpm.settings.settings import Settings


def cuts_out(package: Package) -> bool:
    """Whether one of its stages cuts out what another finds."""
    return any(stage.crop is not None for stage in package.stages)


def cut_from_pictures(
    package: Package, settings: Settings, signatures: Mapping[str, Signature], bound: Sequence[Stage],
    front: tuple[str, str],
) -> dict[str, tuple[Stage, Made]]:  # fmt: skip
    """The stages that cut out, with models that take the picture; `bound` are all stages as they are joined.

    `front` is the name of the stage that prepares pictures, and the folder of what is made for it. Raises
    ConversionError where what is found has no place in the picture.
    """
    pictures, folder = front
    _require_placed(package, settings)
    cutting = {}
    for index, stage in enumerate(package.stages):
        if stage.crop is None:
            continue
        said = crop(stage.crop)
        of = package.stage(said.of or package.stages[index - 1].name)
        into = package.stage(said.into or package.stages[index + 1].name)
        ends = [Neighbour(one.name, signatures[one.name], of_stage(one)) for one in (of, into)]
        sources = {one.name: dict(one.bindings) for one in bound}
        if not sources[of.name].get(ends[0].taken.name, "").startswith(f"{pictures}."):
            what = f"stage {of.name} takes another picture than the first, and a front takes one"
            raise ConversionError(what, do="`--serve tensors`")
        original = Original(
            replace(served.PIXELS, shape=(1, "height", "width", 3)), Tensor(PLACES, "FP64", (1, GEOMETRY))
        )
        try:
            piece = made(stage.name, said, ends[0], ends[1], original)
        except ValueError as error:
            raise ConversionError(str(error), do="`--serve tensors`") from None
        bindings = {**piece.bindings, served.IMAGE: served.IMAGE, PLACES: f"{pictures}.{PLACES}"}
        path = f"{folder}{stage.name}.onnx"
        signature = replace(piece.signature, labels=stage.signature.labels)
        cutting[stage.name] = (
            replace(stage, model=path, files=(path,), signature=signature, bindings=tuple(sorted(bindings.items()))),
            piece,
        )
    return cutting


def _require_placed(package: Package, settings: Settings) -> None:
    """Raise ConversionError where a stage says where in its input something is: none puts that into the picture."""
    if settings.raw_outputs:
        raise ConversionError("what is cut out has no raw outputs beside it", do="`--unset raw-outputs`")
    for part in meaning_of(package, settings).parts:
        if not part.of and package.stage(part.stage).crop is None and part.decode.kind not in PLACELESS:
            what = f"stage {part.stage} says where something is ({part.decode.kind}) beside what is cut out"
            raise ConversionError(f"{what}, and there is no front for both", do="`--serve tensors`")
