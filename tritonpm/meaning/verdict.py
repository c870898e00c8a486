"""OK or NG: named conditions over what a picture holds. Each counts objects, and says how many there may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from tritonpm.meaning.objects import Anomaly, Classification, Detection, Object, Objects, Segmentation, Text
from tritonpm.meaning.spec import Condition

ANOMALOUS, NORMAL = "anomalous", "normal"


@dataclass(frozen=True)
class Judgement:
    """Whether all conditions hold, those that do not, and how many objects each has counted."""

    ok: bool
    failed: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def word(self) -> str:
        """OK or NG."""
        return "OK" if self.ok else "NG"


def judged(conditions: Mapping[str, Condition], objects: Objects) -> Judgement:
    """The verdict on one picture."""
    counts = {name: sum(_counts(one, condition) for one in _each(objects)) for name, condition in conditions.items()}
    failed = tuple(name for name, count in counts.items() if not _holds(conditions[name], count))
    return Judgement(not failed, failed, counts)


@dataclass(frozen=True)
class _Thing:
    """What can be counted: what it is, how sure that is, its area in square pixels, and what is said of it."""

    name: str
    score: float
    area: float
    answers: Objects = ()


def _each(objects: Iterable[Object]) -> Iterator[_Thing]:
    best = True  # of the classes of a picture as a whole only the likeliest is what it is
    for one in objects:
        if isinstance(one, Detection):
            area = one.box.area if one.mask is None else float(one.mask.sum())
            yield _Thing(one.name, one.score, area, one.answers)
        elif isinstance(one, Classification) and best:
            best = False
            yield _Thing(one.name, one.score, 0.0)
        elif isinstance(one, Segmentation):
            for index, area in zip(*np.unique(one.classes, return_counts=True), strict=True):
                yield _Thing(one.name(index), 1.0, float(area))
        elif isinstance(one, Anomaly):
            yield _Thing(ANOMALOUS if one.anomalous else NORMAL, one.score, 0.0)
        elif isinstance(one, Text):
            yield _Thing(one.text, one.score, 0.0)


def _counts(one: _Thing, condition: Condition) -> bool:
    least, most = condition.area or (0.0, float("inf"))
    if (condition.what and one.name not in condition.what) or one.score < condition.score:
        return False
    if not least <= one.area <= most:
        return False
    said = (thing for answer in one.answers for thing in _said(answer))
    return not condition.said or any(thing.name in condition.said and thing.score >= condition.sure for thing in said)


def _said(answer: Object) -> Iterator[_Thing]:
    """All of an answer's classes, each as sure as it is."""
    if isinstance(answer, Classification):
        yield _Thing(answer.name, answer.score, 0.0)
    else:
        yield from _each((answer,))


def _holds(condition: Condition, count: int) -> bool:
    most = float("inf") if condition.at_most is None else condition.at_most
    return (condition.at_least or 0) <= count <= most
