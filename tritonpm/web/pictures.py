"""A package as a picture: its stages from top to bottom, and on the way between them the tensors. Pure.

The picture is narrow, so that a telephone shows it without shrinking its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from tritonpm.core.types import Package, Stage, Tensor
from tritonpm.operations.summary import precision
from tritonpm.repository.cascade import Wiring, wire
from tritonpm.settings.settings import Settings

WIDTH = 360
NONE: Mapping[str, float] = MappingProxyType({})
_MARGIN, _LANE = 8, 12  # of the picture; between two arrows that go past a stage
_BOX, _END, _LINE, _PAD = 58, 30, 18, 26  # heights: a stage, an end, a tensor's line, the arrow around the lines
_LONGEST = 44  # characters of a line


@dataclass(frozen=True)
class Block:
    """A stage, or an end: `title` and `about` are its two lines, `share` how much of the time it takes, of 1."""

    x: int
    y: int
    width: int
    height: int
    title: str
    about: str
    kind: str  # stage | end
    share: float | None = None


@dataclass(frozen=True)
class Arrow:
    """A way of tensors, as an SVG path."""

    path: str


@dataclass(frozen=True)
class Line:
    """A tensor on its way; `whole` is what was too long to be shown."""

    x: int
    y: int
    text: str
    whole: str


@dataclass(frozen=True)
class Picture:
    """All of it."""

    width: int
    height: int
    blocks: tuple[Block, ...]
    arrows: tuple[Arrow, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class _Way:
    """A tensor's way from one place in the column to a later one; its text stands above the later one."""

    source: int
    target: int
    text: str


def picture(
    package: Package, say: Callable[[str], str], settings: Settings, shares: Mapping[str, float] = NONE
) -> Picture:
    """The picture of a package, in a language; `shares` of the time, by stage, of what is loaded."""
    wiring = wire(package)
    ways = _ways(package, wiring)
    past = max((way.target for way in ways), default=0) and any(way.target - way.source > 1 for way in ways)
    left = _MARGIN + (_LANE * 2 if past else 0)
    titles = [(say("Inputs"), "", "end")]
    titles += [(stage.name, _about(package, stage, settings, say), "stage") for stage in package.stages]
    titles += [(say("Outputs"), "", "end")]
    blocks, lines, y = [], [], _MARGIN
    for place, (title, about, kind) in enumerate(titles):
        here = [way for way in ways if way.target == place]
        for number, way in enumerate(here):
            lines.append(Line(left + 34, y + _PAD // 2 + 13 + number * _LINE, _short(way.text), way.text))
        y += (_PAD + _LINE * len(here)) if place else 0
        height = _BOX if kind == "stage" else _END
        share = shares.get(title) if kind == "stage" else None
        blocks.append(Block(left, y, WIDTH - left - _MARGIN, height, title, about, kind, share))
        y += height
    return Picture(WIDTH, y + _MARGIN, tuple(blocks), tuple(_arrows(blocks, ways)), tuple(lines))


def _about(package: Package, stage: Stage, settings: Settings, say: Callable[[str], str]) -> str:
    """What a stage does, in what format and precision; one of ours between two others only cuts out."""
    if stage.crop is not None:
        return say("cuts out what is found")
    precise = precision(replace(package, stages=(stage,)), settings.for_stage(stage.name))
    return f"{say(stage.task.value.replace('-', ' '))} · {stage.format.value} · {precise}"


def _ways(package: Package, wiring: Wiring) -> list[_Way]:
    places = {"": 0, **{stage.name: number for number, stage in enumerate(package.stages, 1)}}
    ways = []
    for edge in wiring.edges:
        tensor = next(t for t in package.stage(edge.stage).signature.inputs if t.name == edge.tensor)
        same = edge.source_tensor == edge.tensor
        name = edge.tensor if same else f"{edge.source_tensor} → {edge.tensor}"
        ways.append(_Way(places[edge.source_stage], places[edge.stage], f"{name}  {described(tensor)}"))
    end = len(places)
    for public, stage, tensor in wiring.outputs:
        ways.append(_Way(places[stage], end, f"{public}  {described(tensor)}"))
    return ways


def described(tensor: Tensor) -> str:
    """A tensor's type and shape, as people write them."""
    shape = "any shape" if tensor.shape is None else "[" + ", ".join(map(str, tensor.shape)) + "]"
    return f"{tensor.dtype} {shape}"


def _arrows(blocks: list[Block], ways: Iterable[_Way]) -> Iterable[Arrow]:
    lanes = 0
    for source, target in sorted({(way.source, way.target) for way in ways}):
        one, other = blocks[source], blocks[target]
        x = one.x + 20
        if target - source == 1:
            yield Arrow(f"M{x} {one.y + one.height} V{other.y - 2}")
        else:  # past the stages between, in a lane of its own
            lane = _MARGIN + (lanes % 3) * _LANE // 2
            lanes += 1
            y = other.y + other.height // 2
            yield Arrow(f"M{one.x} {one.y + one.height // 2} H{lane} V{y} H{other.x - 2}")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
