"""Whether two answers mean the same: objects beside objects, not tensors beside tensors.

Boxes are matched by overlap and class at the scores that count, masks by overlap, classes by which is the best and by
how far, text by edit distance, vectors by the angle between them. Nothing found beside something found is a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode.about import overlaps
from tritonpm.meaning.decode.turned import overlap as turned_overlap
from tritonpm.meaning.objects import (
    Anomaly,
    Classification,
    Detection,
    Embedding,
    Object,
    Objects,
    Regression,
    Segmentation,
    Text,
)

OVERLAP = 0.5  # intersection over union of two objects that are one
TIE = 1e-3  # of the best score: two classes this near to each other are no decision
_SAME = 0.999  # a share of this is as good as all: a pixel at an edge
NEAR = 0.02  # a score this near to the threshold may fall on the other side of it


@dataclass(frozen=True)
class Match:
    """How much of two answers is the same: `both` of `either` objects, the worst measure, and what is wrong if any."""

    both: float
    either: int
    worst: float
    reason: str = ""

    @property
    def share(self) -> float:
        """From 0 to 1; 1 where there is nothing in either."""
        return self.both / self.either if self.either else 1.0


def matched(want: Objects, got: Objects, *, score: float = 0.0) -> Match:
    """Two answers to one picture. `score` is what counts: an object just at it that only one has is left out."""
    detections = [one for one in want if isinstance(one, Detection)], [one for one in got if isinstance(one, Detection)]
    if detections[0] or detections[1]:
        others = [tuple(one for one in side if not isinstance(one, Detection)) for side in (want, got)]
        return _both(_detections(*detections, score), matched(*others))
    if len(want) != len(got) and (not want or not got):
        return Match(0.0, max(len(want), len(got)), 0.0, _nothing(bool(want)))
    if want and isinstance(want[0], Classification):
        return _classes(want, got)
    pairs = [_alike(one, other) for one, other in zip(want, got, strict=False)]
    pairs = [1.0 if share > _SAME else share for share in pairs]
    either = max(len(want), len(got))
    return Match(sum(pairs), either, min(pairs, default=1.0), "" if len(want) == len(got) else "not as many are there")


def _both(one: Match, other: Match) -> Match:
    """Of one picture, what two kinds of objects say."""
    return altogether((one, other)) if other.either else one


def altogether(pairs: Sequence[Match]) -> Match:
    """Over several pictures: what is wrong is the first that is."""
    both, either = sum(one.both for one in pairs), sum(one.either for one in pairs)
    worst = min((one.worst for one in pairs), default=1.0)
    return Match(both, either, worst, next((one.reason for one in pairs if one.reason), ""))


def _nothing(wanted: bool) -> str:
    return "it finds nothing where the original finds something" if wanted else "it finds what the original does not"


def _detections(want: Sequence[Detection], got: Sequence[Detection], score: float) -> Match:
    """Best score first, each object once."""
    free, pairs, said, missing = set(range(len(got))), [], [], []
    for one in sorted(want, key=lambda one: -one.score):
        rivals = [index for index in sorted(free) if got[index].class_id == one.class_id]
        shares = [_overlap(one, got[index]) for index in rivals]
        best = int(np.argmax(shares)) if shares else -1
        if best < 0 or shares[best] < OVERLAP:
            missing.append(one)
            continue
        free.remove(rivals[best])
        pairs.append(shares[best])
        said.append(matched(one.answers, got[rivals[best]].answers).share)
    lonely = [one for one in (*missing, *(got[index] for index in free)) if one.score > score + NEAR]
    empty = (not got and any(one in lonely for one in want)) or (not want and bool(lonely))
    reason = _nothing(bool(want)) if empty else ""
    worst = min((*pairs, *said), default=1.0 if not lonely else 0.0)
    return Match(sum(said), len(pairs) + len(lonely), worst, reason)


def _overlap(one: Detection, other: Detection) -> float:
    """By mask where both have one, as they are turned where they are, else by box."""
    if one.mask is not None and other.mask is not None:
        return _shared(one.mask, other.mask)
    if one.angle is not None and other.angle is not None:
        return float(turned_overlap(_turned(one), _turned(other)[np.newaxis])[0])
    return float(overlaps(_corners(one), _corners(other)[np.newaxis])[0])


def _corners(one: Detection) -> Array:
    return np.array([one.box.left, one.box.top, one.box.right, one.box.bottom])


def _turned(one: Detection) -> Array:
    left, top, right, bottom = _corners(one)
    return np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top, one.angle or 0.0])


def _shared(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return 0.0
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def _classes(want: Objects, got: Objects) -> Match:
    """The same best class, or one that the original holds for as good; the margin is how far it is behind."""
    scores = {one.class_id: one.score for one in want if isinstance(one, Classification)}
    best = got[0] if got else None
    if not isinstance(best, Classification):
        return Match(0.0, 1, 0.0, _nothing(True))
    top = max(scores.values())
    behind = top - scores.get(best.class_id, float("-inf"))
    same = behind <= TIE * abs(top)
    return Match(float(same), 1, float(np.exp(-behind)) if np.isfinite(behind) else 0.0)


def _alike(one: Object, other: Object) -> float:
    """From 0 to 1."""
    if isinstance(one, Text) and isinstance(other, Text):
        longest = max(len(one.text), len(other.text))
        return 1 - _edits(one.text, other.text) / longest if longest else 1.0
    if isinstance(one, Embedding) and isinstance(other, Embedding):
        return _cosine(np.array(one.vector), np.array(other.vector))
    if isinstance(one, Regression) and isinstance(other, Regression):
        a, b = np.array(one.values), np.array(other.values)
        return 0.0 if a.shape != b.shape else float(np.clip(1 - np.abs(a - b).max() / (np.abs(a).max() or 1.0), 0, 1))
    if isinstance(one, Segmentation) and isinstance(other, Segmentation):
        return _segments(one.classes, other.classes)
    if isinstance(one, Anomaly) and isinstance(other, Anomaly):
        same = float(one.anomalous == other.anomalous)
        if one.map is None or other.map is None:
            return same
        return min(same, _shared(one.map >= one.threshold, other.map >= other.threshold))
    return 0.0


def _segments(want: Array, got: Array) -> float:
    """The mean intersection over union of the classes that either has."""
    if want.shape != got.shape:
        return 0.0
    return float(np.mean([_shared(want == index, got == index) for index in np.union1d(want, got)]))


def _cosine(a: Array, b: Array) -> float:
    if a.shape != b.shape or not np.isfinite(b).all():
        return 0.0
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(0.0, float(a @ b) / length) if length else float(np.array_equal(a, b))


def _edits(one: str, other: str) -> int:
    """How many characters must be added, taken or changed (Levenshtein)."""
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        before, row[0] = row[0], index
        for place, against in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (letter != against))
    return row[-1]
