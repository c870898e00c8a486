"""What is known of a stage's tensors: what wrote the model, below the package, below the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tritonpm.core.types import Signature, Stage
from tritonpm.meaning.spec import ROLES, Decode, Preprocess, decode, laid_over, preprocess
from tritonpm.meaning.stage_answer import StageAnswer

Fields = Mapping[str, object]
PACKAGE, SETTINGS = "package", "settings"


@dataclass(frozen=True)
class Meaning:
    """What is known of one stage, and who said it; None is unknown."""

    preprocess: Preprocess | None = None
    decode: Decode | None = None
    labels: tuple[str, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)  # "decode.score" → package, settings, or what wrote the model
    parts: tuple[StageAnswer, ...] = ()  # of several stages that answer

    @property
    def answers(self) -> tuple[StageAnswer, ...]:
        """Each stage's share of the answer; () where nobody says what it is."""
        return self.parts or ((StageAnswer("", self.decode, self.labels),) if self.decode else ())


def of_stage(stage: Stage, *, preprocess: Fields | None = None, decode: Fields | None = None) -> Meaning:
    """What is known of a stage; `preprocess` and `decode` are what settings say over it.

    Raises ValueError with one sentence where what is said cannot be, or does not fit the stage's tensors.
    """
    layers = {
        **stage.inferred,
        PACKAGE: {"preprocess": stage.preprocess, "decode": stage.decode},
        SETTINGS: {"preprocess": preprocess or {}, "decode": decode or {}},
    }
    first, one = _together("preprocess", layers)
    then, two = _together("decode", layers)
    meaning = Meaning(_preprocess(first), _decode(then), stage.signature.labels, {**one, **two})
    for problem in problems(meaning, stage.signature):
        raise ValueError(problem)
    return meaning


def _together(part: str, layers: Mapping[str, Mapping[str, Fields]]) -> tuple[dict[str, object], dict[str, str]]:
    """The fields of one part with all layers over one another, and who said each."""
    whole: dict[str, object] = {}
    said: dict[str, str] = {}
    for who, parts in layers.items():
        fields = parts.get(part, {})
        whole = laid_over(whole, fields)
        said = {f"{part}.{name}": who if name in fields else said[f"{part}.{name}"] for name in whole}
    return whole, said


def _preprocess(said: Fields) -> Preprocess | None:
    return preprocess(said) if said else None


def _decode(said: Fields) -> Decode | None:
    return decode(said) if said else None


def tensor_of(spec: Decode, role: str, outputs: tuple[str, ...]) -> str:
    """The output that has a role: named for it, of the same name, or the only one; "" where none has."""
    if named := spec.outputs.get(role):
        return named
    if role in outputs:
        return role
    return outputs[0] if len(outputs) == 1 and len(_needed(spec)) == 1 and role in _needed(spec) else ""


def _needed(spec: Decode) -> tuple[str, ...]:
    return tuple(role for role in ROLES[spec.kind] if not role.endswith("?"))


def problems(meaning: Meaning, signature: Signature) -> Iterator[str]:
    """What of a meaning does not fit the tensors, each in one sentence."""
    inputs, outputs = (tuple(tensor.name for tensor in side) for side in (signature.inputs, signature.outputs))
    first, then = meaning.preprocess, meaning.decode
    if first is not None and not first.tokenizer:
        if not first.input and len(inputs) - len(first.geometry) != 1:
            yield f"preprocess: input is missing, and the model has {', '.join(inputs)}"
        for name in filter(None, (first.input, *first.geometry)):
            if name not in inputs:
                yield f"preprocess: there is no input {name!r}, but {', '.join(inputs)}"
    if then is not None:
        for name in then.outputs.values():
            if name not in outputs:
                yield f"decode.outputs: there is no output {name!r}, but {', '.join(outputs)}"
        for role in _needed(then):
            if not tensor_of(then, role, outputs):
                yield f"decode.outputs: which of {', '.join(outputs)} are the {role} is missing"
        roles = [role.rstrip("?") for role in ROLES[then.kind]]
        if not _needed(then) and not any(tensor_of(then, role, outputs) for role in roles):
            yield f"decode.outputs: which of {', '.join(outputs)} is the {' or the '.join(roles)} is missing"
