"""Repositories out of the pieces: each alone on every base, every pair of families, and random ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

from tests.support.lint.cases import Case
from tests.support.lint.pieces import GROUP, INPUT, MODEL, OUTPUT, SCHEDULING, STEP, TYPES, Family, Piece
from tests.support.repositories import ensemble, model, onnx_graph

Slots = Mapping[str, Mapping[str, Family]]
PLAIN: Slots = {"model": MODEL, "input": INPUT, "output": OUTPUT, "group": GROUP}
ENSEMBLE: Slots = {"model": MODEL, "input": INPUT, "output": OUTPUT, "step": STEP, "scheduling": SCHEDULING}
# None that a server could take for so many instances, levels or warm-ups: they would be all that the machine does.
_NUMBERS = ("-1", "0", "1", "2", "3", "4", "8", "9", "1.5", "-0", "0x4", "010", "99999999999999999999")


@dataclass(frozen=True)
class Config:
    """A config in the making: what is at each place; `types` are those of the input and the output."""

    batched: bool = True
    of_ensemble: bool = False
    backend: str = 'backend: "onnxruntime"'
    types: tuple[str, str] = ("TYPE_FP32", "TYPE_FP32")
    places: Mapping[str, tuple[Piece, ...]] = field(default_factory=dict)

    def with_piece(self, place: str, piece: Piece) -> Config:
        return replace(self, places={**self.places, place: (*self.places.get(place, ()), piece)})

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the model file has beside `x`."""
        every = [name for pieces in self.places.values() for piece in pieces for name in piece.inputs]
        return tuple({name.partition(" ")[0]: name for name in every}.values())

    def text(self) -> str:
        at = {place: " ".join(piece.text for piece in self.places.get(place, ())) for place in (*PLAIN, *ENSEMBLE)}
        dims = "[ 4 ]" if self.batched else "[ -1, 4 ]"
        names = ("in", "out") if self.of_ensemble else ("x", "y")
        lines = [
            f"max_batch_size: {8 if self.batched else 0}",
            f'input {{ name: "{names[0]}" data_type: {self.types[0]} dims: {dims} {at["input"]} }}',
            f'output {{ name: "{names[1]}" data_type: {self.types[1]} dims: {dims} {at["output"]} }}',
        ]
        if self.of_ensemble:
            lines += [
                'platform: "ensemble"',
                "ensemble_scheduling {",
                f'  step {{ model_name: "m" {"" if "model_version" in at["step"] else "model_version: -1"}',
                f'    input_map {{ key: "x" value: "in" }} output_map {{ key: "y" value: "mid" }} {at["step"]} }}',
                '  step { model_name: "m2" model_version: -1',
                '    input_map { key: "x" value: "mid" } output_map { key: "y" value: "out" } }',
                f"  {at['scheduling']} }}",
            ]
        else:
            lines += [self.backend, f"instance_group {{ {at['group'] or 'count: 1 kind: KIND_CPU'} }}"]
        return "\n".join([*lines, at["model"]])

    def case(self, name: str, text: str | None = None) -> Case:
        text = self.text() if text is None else text
        if self.of_ensemble:
            member = Config(self.batched).text()
            return Case(name, lambda root: ensemble(root, text, m=member, m2=member), "e")
        return Case(name, lambda root: _written(root, text, self))


def _written(root: Path, text: str, config: Config) -> None:
    folder = model(root, text)
    if config.inputs:
        (folder / "1/model.onnx").write_bytes(onnx_with(config.inputs, config.batched))


@lru_cache(maxsize=256)
def onnx_with(inputs: tuple[str, ...], batched: bool) -> bytes:
    """y = -x, with further inputs of one value (a row) that nothing reads: "name TYPE" each."""
    from onnx import TensorProto

    own = [("x", TensorProto.FLOAT, ["batch", 4])]
    for entry in inputs:
        name, dtype = entry.split(" ")
        own.append((name, TensorProto.DataType.Value(dtype), ["batch", 1] if batched else [1]))
    return onnx_graph(own)


def _families(slots: Slots) -> list[tuple[str, str, Family]]:
    return [(place, name, pieces) for place, families in slots.items() for name, pieces in families.items()]


BASES = {
    "batched": Config(),
    "plain": Config(batched=False),
    "ensemble": Config(of_ensemble=True),
    "openvino": Config(batched=False, backend='backend: "openvino" default_model_filename: "model.onnx"'),
}


def alone() -> Iterator[Case]:
    """Every piece once on every base, and every type of the input, of the output and of both."""
    for name, base in BASES.items():
        for place, family, pieces in _families(ENSEMBLE if base.of_ensemble else PLAIN):
            for number, piece in enumerate(pieces):
                yield base.with_piece(place, piece).case(f"{name}-{place}-{family}-{number}")
    for dtype in TYPES:
        for types in ((dtype, "TYPE_FP32"), ("TYPE_FP32", dtype), (dtype, dtype)):
            yield Config(types=types).case(f"types-{'-'.join(types)}")


def pairs(refused: Container[str] = (), seed: int = 1) -> Iterator[Case]:
    """Each pair of families once, on a base and with pieces that the dice choose.

    `refused` are the cases of `alone` that do not load: what they say would hide what two others do together.
    """
    dice = random.Random(seed)
    for families in combinations(_families(PLAIN), 2):
        name = dice.choice(("batched", "batched", "plain"))
        config = BASES[name]
        for place, family, pieces in families:
            good = [piece for at, piece in enumerate(pieces) if f"{name}-{place}-{family}-{at}" not in refused]
            config = config.with_piece(place, dice.choice(good or pieces))
        yield config.case("pair-" + "-".join(f"{place}-{family}" for place, family, _ in families))


def combined(count: int, seed: int) -> list[Case]:
    """Random configs of one to four pieces, one in three of them with its text edited."""
    dice = random.Random(seed)
    return [_combined(dice, f"random-{seed}-{number}") for number in range(count)]


def _combined(dice: random.Random, name: str) -> Case:
    config = dice.choice(list(BASES.values()))
    if dice.random() < 0.1:
        config = replace(config, types=(dice.choice(TYPES), dice.choice(TYPES)))
    families = _families(ENSEMBLE if config.of_ensemble else PLAIN)
    for place, _, pieces in dice.sample(families, dice.choice((1, 2, 2, 3, 4))):
        config = config.with_piece(place, dice.choice(pieces))
    text = config.text()
    if dice.random() < 0.33:
        text = dice.choice(EDITS)(text, dice)
    return config.case(name, text)


def _number(text: str, dice: random.Random) -> str:
    found = list(re.finditer(r"(?<=[ \[])-?\d+(?=[ ,\]\n])", text))
    match = dice.choice(found)
    return text[: match.start()] + dice.choice(_NUMBERS) + text[match.end() :]


def _dropped(text: str, dice: random.Random) -> str:
    words = re.split(r"(\s+)", text)
    del words[dice.randrange(len(words))]
    return "".join(words)


def _again(text: str, dice: random.Random) -> str:
    lines = text.split("\n")
    return "\n".join([*lines, dice.choice(lines)])


def _swapped(text: str, dice: random.Random) -> str:
    old, new = dice.choice((
        ('"x"', '"y"'), ('"y"', '"x"'), ('"mid"', '"in"'), ("TYPE_FP32", "TYPE_FP16"), ("KIND_CPU", "KIND_AUTO"), ("{", "<"),
        ("true", "True"), ("true", "1"), ("true", "t"), (": ", ":"), ('"', "'"), ("dims", "dim"), ("\n", " # a comment\n"), ("}", "},"), ("]", ", ]"),
    ))  # fmt: skip
    return text.replace(old, new)


EDITS: tuple[Callable[[str, random.Random], str], ...] = (_number, _number, _dropped, _again, _swapped)
