"""What is known of a package's tensors as a whole, with the settings in force."""

from __future__ import annotations

from dataclasses import replace

from tritonpm.core.types import Package, Signature, Stage
from tritonpm.meaning.crops import crops_of
from tritonpm.meaning.served import takes_pictures
from tritonpm.meaning.spec import ROLES
from tritonpm.meaning.stage_answer import StageAnswer
from tritonpm.meaning.stages import Meaning, of_stage, tensor_of
from tritonpm.repository.cascade import Wiring, wire
from tritonpm.settings.settings import Settings


def meaning_of(package: Package, settings: Settings) -> Meaning:
    """Its input as its first stage takes it, and its answer as the stages give it that nobody takes anything of.

    Raises ValueError: see `of_stage`; RenderError: the stages do not hang together.
    """
    known = {stage.name: _of(stage, settings) for stage in package.stages}
    first, last = known[package.stages[0].name], known[package.stages[-1].name]
    if not package.cascade:
        return first
    parts = tuple(_parts(package, known))
    main = next((part for part in parts if any(one.of == part.stage for one in parts)), None)
    decode = main.decode if main else last.decode
    labels = main.labels if main else last.labels
    alone = len(parts) == 1 and parts[0].stage == package.stages[-1].name
    return Meaning(first.preprocess, decode, labels, {**first.said, **last.said}, () if alone else parts)


def hands_in_pictures(package: Package, settings: Settings, signature: Signature) -> bool:
    """Whether what is served takes pictures as they are: it shall (`serve: image`), and it does."""
    return settings.takes_pictures(package.stages[0].name) and takes_pictures(signature)


def _of(stage: Stage, settings: Settings) -> Meaning:
    own = settings.for_stage(stage.name)
    return of_stage(stage, preprocess=own.preprocess, decode=own.decode)


def _parts(package: Package, known: dict[str, Meaning]) -> list[StageAnswer]:
    """What each stage whose outputs are the package's says, with their public names."""
    wiring = wire(package)
    boxes = _boxes(package, wiring)
    public = {(stage, tensor.name): name for name, stage, tensor in wiring.outputs}
    parts = []
    for stage in package.stages:
        meaning, outputs = known[stage.name], tuple(one.name for one in stage.signature.outputs)
        if meaning.decode is None:
            continue
        roles = {role.rstrip("?"): tensor_of(meaning.decode, role.rstrip("?"), outputs)
                 for role in ROLES[meaning.decode.kind]}  # fmt: skip
        named = {role: public[stage.name, one] for role, one in roles.items() if (stage.name, one) in public}
        if any(one and (stage.name, one) not in public for one in roles.values()):
            continue  # another stage takes it: what it is is that stage's to say
        size = meaning.preprocess.size if meaning.preprocess else None
        part = StageAnswer(
            stage.name, replace(meaning.decode, outputs=named), meaning.labels, boxes.get(stage.name, "")
        )
        parts.append(replace(part, size=size) if size else part)
    return parts


def _boxes(package: Package, wiring: Wiring) -> dict[str, str]:
    """The stages whose rows are crops, each with the stage that cut them out."""
    rows: dict[str, str] = {}
    cutting = {stage.name: crops_of(stage.signature) for stage in package.stages if stage.crop is not None}
    for edge in wiring.edges:  # in the order of the stages
        source = edge.source_stage
        if cutting.get(source) == edge.source_tensor:
            rows[edge.stage] = source
        elif source in rows:
            rows[edge.stage] = rows[source]
    return rows
